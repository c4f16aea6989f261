"""An encoder–decoder written down layer by layer."""

import pytest
import torch
from hydra.utils import instantiate
from torch import nn

from lightning_brats.errors import ConfigError
from lightning_brats.models import EncoderDecoder, UNet, describe


def test_parameters_by_hand() -> None:
    # 4 → 32 → 64, pooling, 128, 128, pooling, up 64, convolution 64, up 5
    down = 3_488 + 55_360 + 221_312 + 442_496
    up = 65_600 + 110_656 + 2_565
    assert describe(EncoderDecoder(4, 5), (4, 8, 8, 8))["parameters"] == down + up


def test_the_order_of_its_layers() -> None:
    net = EncoderDecoder(2, 3, encoder=[[4], [5, 6]], decoder=[[7, 8]], spatial_dims=2)
    kinds = [type(module).__name__ for module in net.modules() if not list(module.children())]
    down = ["Conv2d", "ReLU", "MaxPool2d", "Conv2d", "ReLU", "Conv2d", "ReLU", "MaxPool2d"]
    assert kinds == [*down, "UpConv2d", "ReLU", "Conv2d", "ReLU", "UpConv2d"]
    widths = [
        m.out_channels for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)
    ]
    assert widths == [4, 5, 6, 7, 8, 3]


@pytest.mark.parametrize("shape", [(8, 8, 8), (9, 7, 5), (6, 4, 1)])
def test_it_gives_the_input_s_grid(shape: tuple[int, ...]) -> None:
    image = torch.randn(2, 4, *shape)
    assert EncoderDecoder(4, 3)(image).shape == (2, 3, *shape)
    flat = EncoderDecoder(4, 3, spatial_dims=2)
    assert flat(image[..., 0]).shape == (2, 3, *shape[:2])


def test_config_rebuilds_the_same_network() -> None:
    net = EncoderDecoder(4, 3, encoder=((4,), (5,), (6,)), decoder=((5,), (4, 4)))
    again = instantiate(net.config, _convert_="all")
    again.load_state_dict(net.state_dict())
    image = torch.randn(1, 4, 8, 8, 8)
    torch.testing.assert_close(again(image), net(image))


@pytest.mark.parametrize(("encoder", "decoder"), [([[4]], [[4]]), ([[4], []], [[4]]), ([], [])])
def test_stages_that_do_not_lead_back_are_refused(encoder: list, decoder: list) -> None:
    with pytest.raises(ConfigError, match="halves the image"):
        EncoderDecoder(4, 3, encoder=encoder, decoder=decoder)


def test_a_u_net_without_norm() -> None:
    net = UNet(4, 3, widths=[4, 8], norm="none")
    kinds = (nn.InstanceNorm3d, nn.BatchNorm3d, nn.GroupNorm)
    assert not any(isinstance(module, kinds) for module in net.modules())
    # 4→4, 4→4, 4→8, 8→8, up 8→4, 8→4, 4→4, head
    known = 436 + 436 + 872 + 1_736 + 260 + 868 + 436 + 15
    assert sum(p.numel() for p in net.parameters()) == known
    assert net(torch.randn(1, 4, 8, 8, 8)).shape == (1, 3, 8, 8, 8)
