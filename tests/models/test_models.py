"""Every network of configs/model, found by listing the folder: a new config brings its own test."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from hydra.utils import instantiate
from torch import nn

import lightning_brats
from lightning_brats.losses import DeepSupervision, dice_ce
from lightning_brats.models import FCNN, UNet, describe, segmenter
from lightning_brats.models import __main__ as models_main

CONFIGS = Path(lightning_brats.__file__).parent / "configs"
NAMES = sorted(path.stem for path in (CONFIGS / "model").glob("*.yaml"))
OURS = ["fcnn", "unet", "residual_unet", "attention_unet", "attention_residual_unet"]
NNUNET = {"plain_conv_unet", "residual_encoder_unet"}
PEERS = {"swin_unetr", "dynunet", "vnet", "mednext", "segresnet"} | NNUNET
PEERS |= {"monai_unet", "monai_attention_unet"}
SUPERVISED = ["unet", "attention_residual_unet", "dynunet", "mednext", *sorted(NNUNET)]


def marked(name: str) -> Any:
    """Slow networks are left to the full suite, nnU-Net's to where its package is installed."""
    absent = name in NNUNET and find_spec("dynamic_network_architectures") is None
    marks = [pytest.mark.skipif(absent, reason="needs dynamic-network-architectures")]
    marks += [pytest.mark.slow] * (name in {"swin_unetr", "residual_encoder_unet"})
    return pytest.param(name, marks=marks)


def build(name: str, *overrides: str) -> nn.Module:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        cfg = compose(f"model/{name}", overrides=[f"model.{o}" for o in overrides])
    return segmenter(instantiate(cfg.model, in_channels=4, out_channels=3, _convert_="all"))


def check(net: nn.Module, shape: tuple[int, ...]) -> None:
    logits = net.train()(torch.randn(2, 4, *shape))
    assert logits.shape == (2, 3, *shape)
    logits.square().mean().backward()
    for name, parameter in net.named_parameters():
        if not parameter.requires_grad:
            continue  # nnU-Net's networks have heads that are not used without deep supervision
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_the_configs_are_there() -> None:
    assert set(OURS) | PEERS <= set(NAMES)


@pytest.mark.parametrize("name", map(marked, NAMES))
def test_volume_in_volume_out_and_gradients_everywhere(name: str) -> None:
    # The smallest that keep two voxels, for instance norm, on the coarsest stage.
    halvings = 5 if name == "swin_unetr" or name in NNUNET else 4
    check(build(name), (2 * 2**halvings, 2**halvings, 2**halvings))


@pytest.mark.parametrize("name", map(marked, sorted(set(NAMES) - {"vnet"})))
def test_the_same_in_two_dimensions(name: str) -> None:
    net = build(name, "spatial_dims=2")
    assert not any(isinstance(module, nn.Conv3d) for module in net.modules())
    # On (B, C, X, Y), 3-D dropout would take images for channels and drop whole images.
    assert not any(m.p for m in net.modules() if isinstance(m, nn.Dropout3d))
    check(net, (64, 32))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", map(marked, SUPERVISED))
def test_deep_supervision_trains_and_evaluation_has_one_output(name: str, dims: int) -> None:
    small = {
        "dynunet": ["filters=[4,4,8,8,8]"],
        "mednext": ["init_filters=4"],
        "residual_encoder_unet": ["widths=[4,8,8]", "blocks=[1,1,1]"],
    }
    settings = small.get(name, ["widths=[4,8,8]"])
    net = build(name, "deep_supervision=true", f"spatial_dims={dims}", *settings)
    shape = (32, 32) if dims == 2 else (32, 16, 16)
    target = torch.rand(1, 3, *shape) < 0.5
    loss = DeepSupervision(dice_ce("regions"))
    outputs = net.train()(torch.randn(1, 4, *shape))
    levels = outputs.unbind(1) if isinstance(outputs, torch.Tensor) else outputs
    assert len(levels) > 1
    assert levels[0].shape == (1, 3, *shape)
    loss(outputs, target).backward()
    unused = [n for n, p in net.named_parameters() if p.requires_grad and p.grad is None]
    assert not unused
    with torch.no_grad():
        single = net.eval()(torch.randn(1, 4, *shape))
    assert single.shape == (1, 3, *shape)


def test_a_network_for_volumes_alone_says_so() -> None:
    with pytest.raises(ConfigCompositionException, match="spatial_dims"):
        build("vnet", "spatial_dims=2")


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("shape", [(17, 20, 23), (24, 24, 5), (33, 16, 1)])
def test_our_networks_take_any_size(name: str, shape: tuple[int, ...]) -> None:
    check(build(name), shape)
    check(build(name, "spatial_dims=2"), shape[:2])


@pytest.mark.parametrize("name", OURS)
def test_config_rebuilds_the_same_network(name: str) -> None:
    net = build(name, "spatial_dims=2").eval()
    again = instantiate(net.config, _convert_="all").eval()
    again.load_state_dict(net.state_dict())
    image = torch.randn(1, 4, 24, 24)
    torch.testing.assert_close(again(image), net(image))
    assert plain(net.config)


def plain(value: Any) -> bool:
    """Only what a checkpoint may hold when it is loaded without unpickling code."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(plain, value))
    return value is None or type(value) in (bool, int, float, str)


def test_overrides_from_the_command_line() -> None:
    net = build("unet", "block=residual", "widths=[4,8]", "norm=batch", "dropout=[0.1,0.2]")
    assert net.config["widths"] == [4, 8]
    assert net.config["dropout"] == [0.1, 0.2]
    assert any(isinstance(module, nn.BatchNorm3d) for module in net.modules())
    assert build("attention_unet", "size=tiny").config["widths"] == [8, 16, 32]
    with pytest.raises(ConfigCompositionException, match="nrom"):
        build("unet", "nrom=batch")


def test_only_the_named_part_differs() -> None:
    plain_net, residual, attention, both = (
        set(build(name).state_dict())
        for name in ("unet", "residual_unet", "attention_unet", "attention_residual_unet")
    )
    assert {key.split(".")[0] for key in attention - plain_net} == {"joins"}
    assert plain_net < attention
    assert both - residual == attention - plain_net


def test_fcnn_by_hand() -> None:
    # 4·64·27 + 64 and 64·3·8 + 3; in two dimensions 4·64·9 + 64 and 64·3·4 + 3
    assert describe(FCNN(4, 3), (4, 8, 8, 8))["parameters"] == 6976 + 1539
    assert describe(FCNN(4, 3, spatial_dims=2), (4, 8, 8))["parameters"] == 2368 + 771


def test_cost_by_hand() -> None:
    net = FCNN(4, 3)
    cost = describe(net, (4, 8, 8, 8))
    # 8³ voxels · 64 · 4 · 27 multiply–adds, then 4³ voxels · 64 · 3 · 8
    assert cost["gflops"] == pytest.approx(2 * (512 * 6912 + 64 * 1536) / 1e9)
    # image, ReLU's output, pooling's indices (8 bytes), pooling's output
    held = 4 * 512 * 4 + 64 * 512 * 4 + 64 * 64 * 8 + 64 * 64 * 4
    assert cost["activation_gib"] * 2**30 == held
    assert next(net.parameters()).device.type == "cpu"  # the network itself is untouched


@pytest.mark.slow
def test_the_table_has_every_network(capsys: pytest.CaptureFixture[str]) -> None:
    models_main.main(["--markdown"])
    out = capsys.readouterr().out
    assert "| `unet size=base` | 31,196,675 | 965 | 3.36 | 14 | 0.08 |" in out
    assert "| `vnet` | 45,607,906 | 1,505 | 2.27 | – | – |" in out
    for name in NAMES:
        assert f"`{name}" in out or f"{name} is left out: " in out


def test_the_table_says_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dynamic_network_architectures.architectures.unet", None)
    monkeypatch.setattr(models_main, "cost", only_nnunets := OnlyNNUNets(models_main.cost))
    missing: list[str] = []
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        names = [row[0] for row in models_main.rows(missing)]
    assert only_nnunets.asked == NNUNET
    assert "unet size=base" in names
    assert not NNUNET & set(names)
    assert len(missing) == 2
    assert all("pip install dynamic-network-architectures" in line for line in missing)


class OnlyNNUNets:
    """Counts no other network, which would take long."""

    def __init__(self, cost: Any) -> None:
        self.cost, self.asked = cost, set()

    def __call__(self, model: Any, spatial_dims: int) -> Any:
        name = model["_target_"].rpartition(".")[2]
        if name not in NNUNET:
            return {"parameters": 1, "gflops": 1.0, "activation_gib": 1.0}
        self.asked.add(name)
        return self.cost(model, spatial_dims)


def test_cost_of_a_large_patch_is_counted_without_computing_it() -> None:
    cost = describe(UNet(4, 3, size="base"), (4, 128, 128, 128))
    assert 900 < cost["gflops"] < 1100
    small = describe(UNet(4, 3, size="base"), (4, 64, 64, 64))
    assert cost["gflops"] == pytest.approx(8 * small["gflops"])
