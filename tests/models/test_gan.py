"""The discriminator alone, and beside any network of configs/model."""

import copy
from functools import partial
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from torch import nn

from lightning_brats.errors import ConfigError
from lightning_brats.losses import Adversary
from lightning_brats.models import PatchDiscriminator, SegGAN, UNet, describe, segmenter
from lightning_brats.models.recompute import recompute
from lightning_brats.parts import build, plain


def configured(*overrides: str, **extra: Any) -> nn.Module:
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        cfg = compose("run", ["model=seg_gan", *overrides])
    return build(plain(cfg.model) | {"in_channels": 4, "out_channels": 3, **extra})


def names(net: nn.Module) -> set[str]:
    return set(net.state_dict())


def test_parameters_by_hand() -> None:
    # Four modalities and three regions; kernels of 4³, and of 3³ at the end.
    counts = (7 * 32 * 64 + 32, 32 * 64 * 64 + 64, 64 * 128 * 64 + 128, 128 * 27 + 1)
    for norm in ("spectral", "none"):
        net = PatchDiscriminator(7, (32, 64, 128), norm)
        assert sum(p.numel() for p in net.parameters()) == sum(counts)
    flat = PatchDiscriminator(7, (8,), "none", spatial_dims=2)
    assert sum(p.numel() for p in flat.parameters()) == 7 * 8 * 16 + 8 + 8 * 9 + 1


@pytest.mark.parametrize(("widths", "seen"), [((2, 2), 18), ((2, 2, 2), 38)])
def test_a_judgement_is_of_a_patch(widths: tuple[int, ...], seen: int) -> None:
    x = torch.randn(1, 1, 64, 64, 64, requires_grad=True)
    judged = PatchDiscriminator(1, widths)(x)
    edge = 64 // 2 ** len(widths)
    assert judged.shape == (1, 1, edge, edge, edge)
    judged[0, 0, edge // 2, edge // 2, edge // 2].backward()
    for axis in range(3):
        others = [other for other in range(3) if other != axis]
        assert int((x.grad[0, 0].abs().amax(others) > 0).sum()) == seen


def test_spectral_norms_are_one() -> None:
    torch.manual_seed(0)
    net = PatchDiscriminator(2, (8, 8)).train()
    for _ in range(200):
        net(torch.randn(1, 2, 8, 8, 8))
    for layer in net.eval().layers[::2]:
        largest = torch.linalg.svdvals(layer.weight.flatten(1))[0]
        assert largest.item() == pytest.approx(1, abs=1e-4)


def test_spectral_norms_are_taken_once_a_pass_in_single_precision() -> None:
    """In 16 bits a GPU would be off by 1 in 256, or refuse to mix."""
    net = PatchDiscriminator(2, (4, 4)).train()
    halved: list[bool] = []
    for layer in net.layers[::2]:
        norm = layer.parametrizations.weight[0]
        norm.register_forward_pre_hook(lambda *_: halved.append(torch.is_autocast_enabled("cpu")))
    with torch.autocast("cpu", torch.bfloat16):
        judged = net(torch.randn(1, 2, 8, 8, 8))
    assert halved == [False] * 3
    assert judged.dtype == torch.bfloat16


@pytest.mark.parametrize("norm", ["spectral", "instance", "none"])
@pytest.mark.parametrize("value", [0.0, 1e-6, 1e4])
def test_finite_at_extremes(norm: str, value: float) -> None:
    net = PatchDiscriminator(2, (4, 4), norm)
    x = torch.full((2, 2, 8, 8, 8), value, requires_grad=True)
    judged = net(x)
    judged.square().mean().backward()
    for tensor in (judged, x.grad, *(p.grad for p in net.parameters())):
        assert tensor.isfinite().all()


def test_bad_settings_of_the_discriminator() -> None:
    with pytest.raises(ConfigError, match="choose from spectral, instance, none"):
        PatchDiscriminator(2, norm="batch")
    with pytest.raises(ConfigError, match=r"widths \[\]"):
        PatchDiscriminator(2, ())
    with pytest.raises(ConfigError, match="at least 8 voxels"):
        PatchDiscriminator(2)(torch.zeros(1, 2, 4, 16, 16))


@pytest.mark.parametrize("name", ["unet", "attention_unet", "segresnet", "dynunet", "vnet", "fcnn"])
def test_any_network_is_a_generator_by_one_override(name: str) -> None:
    gan = configured(f"model@model.generator={name}")
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        alone = build(plain(compose("run", [f"model={name}"]).model) | CHANNELS)
    assert names(gan.generator) == names(alone)
    assert sum(p.numel() for p in gan.generator.parameters()) == sum(
        p.numel() for p in alone.parameters()
    )


CHANNELS = {"in_channels": 4, "out_channels": 3}


def test_the_generator_keeps_its_sizes_and_keys() -> None:
    gan = configured("model.generator.size=tiny", "model.generator.block=residual")
    assert gan.generator.config["widths"] == [8, 16, 32]
    assert gan.generator.config["block"] == "residual"


def test_two_dimensions_are_of_both() -> None:
    gan = configured("model.spatial_dims=2", "model.generator.size=tiny")
    assert not any(isinstance(module, nn.Conv3d) for module in gan.modules())
    image, mask = torch.randn(2, 4, 16, 1, 24), torch.rand(2, 3, 16, 1, 24)
    assert gan.judge(image, mask).shape == (2, 1, 2, 3)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model@model.generator=seg_gan"], "discriminator of its own"),
        (["model@model.generator=vnet", "model.spatial_dims=2"], "for volumes alone"),
        (["model.generator.spatial_dims=2"], "model.spatial_dims=2, which is for both"),
        (["model.discriminator.norm=layer"], "norm of the discriminator"),
        (["model.adversary.objective=x"], "choose from hinge, bce"),
        (["model.generator.size=huge"], "unknown size"),
    ],
)
def test_what_cannot_work_is_refused(overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        configured(*overrides)


def small() -> SegGAN:
    torch.manual_seed(0)
    generator = partial(UNet, widths=[4, 8], dropout=0.3)
    return SegGAN(2, 3, generator, Adversary(), partial(PatchDiscriminator, widths=(4, 4)))


def test_called_it_is_its_generator() -> None:
    gan = small().eval()
    x = torch.randn(1, 2, 16, 16, 16)
    assert torch.equal(gan(x), gan.generator(x))
    assert segmenter(gan) is gan.generator
    assert segmenter(gan.generator) is gan.generator
    assert describe(gan, (2, 16, 16, 16)) == describe(gan.generator, (2, 16, 16, 16))


def test_recomputing_changes_no_gradient_and_no_norm() -> None:
    """The discriminator's power iterations must not run a second time in the backward pass."""
    gan = small().train()
    other = copy.deepcopy(gan)
    assert recompute(other)
    image = torch.randn(1, 2, 16, 16, 16)
    for net in (gan, other):
        torch.manual_seed(1)
        net.judge(image, net(image).sigmoid()).mean().backward()
    for (name, first), second in zip(gan.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(first.grad, second.grad), name
    state = other.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in gan.state_dict().items())
