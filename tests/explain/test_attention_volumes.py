"""Gates over a whole volume, against the network's own maps of one window."""

from __future__ import annotations

import torch
from saliency_samples import make_task, unet

from lightning_brats.explain.attention import attention_volumes, has_gates


def test_one_window_gives_the_network_s_own_maps() -> None:
    net = unet().eval()
    task = make_task(net, (16, 16, 16))
    image = torch.randn(4, 16, 16, 16)
    found = attention_volumes(task, image, torch.ones(16, 16, 16, dtype=torch.bool))
    expected = torch.cat(net.attention_maps(image[None]), 1)[0]
    assert found.shape == (2, 16, 16, 16)  # three stages have two gates
    assert torch.allclose(torch.from_numpy(found), expected, atol=1e-5)
    assert expected.std() > 1e-3


def test_windows_are_joined_over_the_volume() -> None:
    """Gates of nothing but biases say the same everywhere, wherever windows overlap."""
    net = unet().eval()
    with torch.no_grad():
        for join in net.joins:
            join.from_skip.weight.zero_()
            join.from_coarse.weight.zero_()
    task = make_task(net, (16, 16, 16))
    brain = torch.zeros(30, 20, 24, dtype=torch.bool)
    brain[2:28, 3:18, 4:20] = True
    found = attention_volumes(task, torch.randn(4, 30, 20, 24) * brain, brain)
    inside = found[:, brain.numpy()]
    assert (inside.std(1) < 1e-6).all()
    gate = net.joins[0]
    with torch.no_grad():
        alone = gate.weigh(gate.from_coarse.bias.view(1, -1, 1, 1, 1).clone())
    assert abs(float(inside[0].mean()) - float(alone)) < 1e-5


def test_slices_too() -> None:
    net = unet(dims=2).eval()
    task = make_task(net, (16, 16, 1))
    image = torch.randn(4, 16, 16, 3)
    found = attention_volumes(task, image, torch.ones(16, 16, 3, dtype=torch.bool))
    for index in range(3):
        expected = torch.cat(net.attention_maps(image[None, ..., index]), 1)[0]
        assert torch.allclose(torch.from_numpy(found[..., index]), expected, atol=1e-5)


def test_only_attention_u_nets_have_gates() -> None:
    assert has_gates(unet())
    assert not has_gates(unet(skip="concat"))
    assert not has_gates(torch.nn.Conv3d(1, 1, 1))
