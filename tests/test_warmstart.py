from pathlib import Path

import pytest
import torch

from lightning_brats import SegmentationTask, UNet
from lightning_brats.errors import ConfigError
from lightning_brats.matching import find_ends
from lightning_brats.models import FCNN
from lightning_brats.parts import build
from lightning_brats.warmstart import WarmStart, freeze, warm_start


def task(
    modalities: list[str], regions: list[str], head: str = "regions", **net
) -> SegmentationTask:
    out = len(regions) if head == "regions" else 4
    unet = UNet(len(modalities), out, **{"widths": [4, 8], **net})
    return SegmentationTask(unet, head=head, regions=regions, context={"modalities": modalities})


def saved(source: SegmentationTask, path: Path) -> Path:
    content: dict = {"state_dict": source.state_dict()}
    source.on_save_checkpoint(content)
    torch.save(content, path)
    return path


def first_conv(net: torch.nn.Module) -> torch.Tensor:
    return next(p for p in net.parameters() if p.ndim == 5)


def test_equal_networks_become_equal(tmp_path: Path) -> None:
    source, own = (task(["t1c", "t2f"], ["WT", "TC"]) for _ in range(2))
    result = warm_start(own, saved(source, tmp_path / "a.ckpt"))
    image = torch.randn(1, 2, 8, 8, 8)
    torch.testing.assert_close(own(image), source(image))
    assert not [*result.adapted, *result.fresh, *result.unused]


def test_a_plain_state_dict_will_do(tmp_path: Path) -> None:
    source, own = (task(["t1c"], ["WT"]) for _ in range(2))
    torch.save(source.net.state_dict(), tmp_path / "net.pt")
    warm_start(own, tmp_path / "net.pt")
    torch.testing.assert_close(first_conv(own.net), first_conv(source.net))


def test_modalities_are_found_by_name(tmp_path: Path) -> None:
    source = task(["t1c", "t2f"], ["WT"])
    own = task(["t2f", "adc", "t1c"], ["WT"])
    result = warm_start(own, saved(source, tmp_path / "a.ckpt"))
    old, new = first_conv(source.net), first_conv(own.net)
    torch.testing.assert_close(new[:, 0], old[:, 1])
    torch.testing.assert_close(new[:, 2], old[:, 0])
    torch.testing.assert_close(new[:, 1], old.mean(1))
    assert "modalities known: t2f, t1c" in "; ".join(result.adapted)


def test_regions_are_found_by_name(tmp_path: Path) -> None:
    source = task(["t1c"], ["WT", "TC", "ET"])
    own = task(["t1c"], ["ET", "RC"])
    before = [p.clone() for p in own.net.parameters()]
    result = warm_start(own, saved(source, tmp_path / "a.ckpt"))
    changed = [n for n, p in own.net.named_parameters() if p.shape[0] == 2 and p.ndim in (1, 5)]
    for name in changed:
        new, old = own.net.state_dict()[name], source.net.state_dict()[name]
        torch.testing.assert_close(new[0], old[2])
        start = dict(zip(own.net.state_dict(), before, strict=True))[name]
        torch.testing.assert_close(new[1], start[1])
    assert changed
    assert all("outputs known: ET" in text for text in result.adapted)


def started(
    own: SegmentationTask, source: SegmentationTask, folder: Path
) -> tuple[list[float], WarmStart]:
    """A kernel's weight of each input, that of input i having been i + 1, and all that was said."""
    with torch.no_grad():
        for number in range(first_conv(source.net).shape[1]):
            first_conv(source.net)[:, number] = number + 1
    result = warm_start(own, saved(source, folder / "a.ckpt"))
    return first_conv(own.net)[0, :, 0, 0, 0].tolist(), result


@pytest.mark.parametrize(
    ("modalities", "expected"),
    [
        (["t1c", "t2f", "t1n"], [1, 2, 3]),
        (["t2f", "t1c", "t1n"], [2, 1, 3]),
        (["t1n", "t1c", "t2f"], [3, 1, 2]),
        (["t2f", "adc", "t1n"], [2, 2, 3]),  # 2 is also the mean, which a new one starts with
        (["x", "y", "z"], [2, 2, 2]),
    ],
)
def test_as_many_modalities_are_matched_by_name_as_well(
    tmp_path: Path, modalities: list[str], expected: list[int]
) -> None:
    source, own = task(["t1c", "t2f", "t1n"], ["WT"]), task(modalities, ["WT"])
    found, result = started(own, source, tmp_path)
    assert found == expected
    known = [name for name in modalities if name in ("t1c", "t2f", "t1n")]
    said = f"(modalities known: {', '.join(known) or 'none'})"
    same = expected == [1, 2, 3]
    assert [line.endswith(said) for line in result.adapted] == ([] if same else [True])
    assert not result.fresh


def test_another_order_of_modalities_changes_nothing_but_the_order(tmp_path: Path) -> None:
    """Feature maps as many as the modalities stay what they are."""
    source, own = (task(names, ["WT"], widths=[2, 2]) for names in (["t1c", "t2f"], ["t2f", "t1c"]))
    warm_start(own, saved(source, tmp_path / "a.ckpt"))
    image = torch.randn(1, 2, 8, 8, 8)
    torch.testing.assert_close(own(image), source(image.flip(1)))


def test_slices_follow_their_modality(tmp_path: Path) -> None:
    def flat(modalities: list[str]) -> SegmentationTask:
        unet = UNet(6, 1, widths=[4, 8], spatial_dims=2)
        return SegmentationTask(unet, regions=["WT"], context={"modalities": modalities})

    source, own = flat(["t1c", "t2f"]), flat(["t2f", "t1c"])
    kernels = [next(p for p in one.net.parameters() if p.ndim == 4) for one in (source, own)]
    with torch.no_grad():
        kernels[0][:] = torch.arange(6.0)[:, None, None]
    warm_start(own, saved(source, tmp_path / "a.ckpt"))
    assert kernels[1][0, :, 0, 0].tolist() == [3, 4, 5, 0, 1, 2]


def test_as_many_regions_are_matched_by_name_as_well(tmp_path: Path) -> None:
    source, own = task(["t1c"], ["WT", "TC", "ET"]), task(["t1c"], ["ET", "RC", "WT"])
    before = {name: value.clone() for name, value in own.net.state_dict().items()}
    result = warm_start(own, saved(source, tmp_path / "a.ckpt"))
    old, new = source.net.state_dict(), own.net.state_dict()
    ends = [name for name in new if new[name].shape[0] == 3]
    assert len(ends) == 2  # kernel and bias of the one last layer
    for name in ends:
        torch.testing.assert_close(new[name][0], old[name][2])
        torch.testing.assert_close(new[name][1], before[name][1])
        torch.testing.assert_close(new[name][2], old[name][0])
    assert sorted(result.adapted) == sorted(f"{name} (outputs known: ET, WT)" for name in ends)


def test_labels_are_no_regions(tmp_path: Path) -> None:
    regions = ["WT", "TC", "ET", "RC"]
    source, own = task(["t1c"], ["WT"], head="labels"), task(["t1c"], regions)
    before = {name: value.clone() for name, value in own.net.state_dict().items()}
    result = warm_start(own, saved(source, tmp_path / "a.ckpt"))
    assert result.fresh
    for line in result.fresh:
        assert line.endswith(" (of other channels)")
        name = line.partition(" ")[0]
        torch.testing.assert_close(own.net.state_dict()[name], before[name])
    same = task(["t1c"], ["TC"], head="labels")
    assert not warm_start(same, tmp_path / "a.ckpt").fresh


def test_a_last_layer_that_goes_up_counts_its_outputs_elsewhere(tmp_path: Path) -> None:
    """Its kernels are (features, outputs, …), and outputs here as many as modalities."""

    def small(modalities: list[str], regions: list[str]) -> SegmentationTask:
        net = FCNN(len(modalities), len(regions), width=4)
        return SegmentationTask(net, regions=regions, context={"modalities": modalities})

    source = small(["t1n", "t1c", "t2f"], ["WT", "TC", "ET"])
    own = small(["t2f", "t1n"], ["ET", "WT"])
    result = warm_start(own, saved(source, tmp_path / "a.ckpt"))
    assert not result.fresh
    old, new = source.net.state_dict(), own.net.state_dict()
    for name in new:
        if name.startswith("decoder"):
            axis = min(new[name].ndim - 1, 1)
            torch.testing.assert_close(
                new[name], old[name].index_select(axis, torch.tensor([2, 0]))
            )
    torch.testing.assert_close(first_conv(own.net), first_conv(source.net)[:, [2, 0]])


def test_a_network_that_only_takes_some_numbers_of_modalities() -> None:
    config = {"_target_": "monai.networks.nets.VNet", "in_channels": 4, "out_channels": 3}
    ends = find_ends(config, build(config).state_dict(), 4)
    assert ends is not None
    assert ends.inputs == {"in_tr.conv_block.conv.weight": (1,)}
    assert ends.outputs["out_tr.conv_block.conv.weight"] == (0,)
    assert ends.outputs["out_tr.conv2.weight"] == (0, 1)


def test_outputs_are_followed_through_the_last_layers(tmp_path: Path) -> None:
    """MONAI's U-Net ends with a convolution of its outputs to its outputs."""
    net = {
        "_target_": "monai.networks.nets.UNet",
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 2,
        "channels": [4, 8],
        "strides": [2],
        "num_res_units": 1,
    }
    source, own = (
        SegmentationTask(net, regions=names, context={"modalities": ["t1c"]}).eval()
        for names in (["WT", "TC"], ["TC", "WT"])
    )
    assert not warm_start(own, saved(source, tmp_path / "a.ckpt")).fresh
    image = torch.randn(1, 1, 8, 8, 8)
    torch.testing.assert_close(own(image), source(image).flip(1))


def test_where_the_layers_cannot_be_told_nothing_is_guessed(tmp_path: Path) -> None:
    weights = saved(task(["t1c", "t2f"], ["WT", "TC"]), tmp_path / "a.ckpt")

    def closed(modalities: list[str], regions: list[str]) -> SegmentationTask:
        found = task(modalities, regions)
        found.recipe["net"] = None  # somebody's network, given built
        return found

    for own, told in (
        (
            closed(["t2f", "t1c"], ["WT", "TC"]),
            r"modalities .* are t1c, t2f, the network's t2f, t1c",
        ),
        (closed(["t1c", "t2f"], ["TC", "WT"]), "outputs of the weights are WT, TC, "),
    ):
        with pytest.raises(ConfigError, match=told):
            warm_start(own, weights)
    more = closed(["t2f", "t1c", "adc"], ["WT", "TC"])
    assert "modalities known: t2f, t1c" in "; ".join(warm_start(more, weights).adapted)


def test_looking_for_the_ends_moves_no_random_numbers(tmp_path: Path) -> None:
    weights = saved(task(["t1c", "t2f"], ["WT"]), tmp_path / "a.ckpt")
    own = task(["t2f", "t1c"], ["WT"])
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    warm_start(own, weights)
    assert torch.equal(torch.rand(3), expected)


def test_another_model_is_refused(tmp_path: Path) -> None:
    torch.save({"encoder.0": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(ConfigError, match="nothing in common"):
        warm_start(task(["t1c"], ["WT"]), tmp_path / "other.pt")


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04"])
def test_a_file_that_is_no_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read"):
        warm_start(task(["t1c"], ["WT"]), tmp_path / "x.pt")
    with pytest.raises(ConfigError, match="not found"):
        warm_start(task(["t1c"], ["WT"]), tmp_path / "y.pt")


class Evil:
    def __reduce__(self) -> tuple:
        return (print, ("code was run",))


def test_stored_code_is_not_run(tmp_path: Path, capsys) -> None:
    torch.save({"w": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ConfigError, match="cannot be read"):
        warm_start(task(["t1c"], ["WT"]), tmp_path / "evil.pt")
    assert "code was run" not in capsys.readouterr().out


def test_freezing_by_pattern() -> None:
    net = task(["t1c"], ["WT"]).net
    names = [name for name, _ in net.named_parameters()]
    frozen = freeze(net, [f"{names[0].split('.')[0]}.*"])
    assert frozen
    assert {n for n, p in net.named_parameters() if not p.requires_grad} == set(frozen)
    with pytest.raises(ConfigError, match="matches no parameter"):
        freeze(net, ["nothing*"])
    with pytest.raises(ConfigError, match="every parameter is frozen"):
        freeze(net, ["*"])
