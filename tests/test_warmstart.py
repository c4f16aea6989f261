from pathlib import Path

import pytest
import torch

from lightning_brats import SegmentationTask, UNet
from lightning_brats.errors import ConfigError
from lightning_brats.warmstart import freeze, warm_start


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
