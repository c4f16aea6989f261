"""Slices through the sliding window against slicing the volume by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_brats.errors import ConfigError
from lightning_brats.inference import SlidingWindow
from lightning_brats.task import SegmentationTask

SHAPE = (12, 16, 10)
AXES = ("sagittal", "coronal", "axial")


def network(slices: int = 1, outputs: int = 3) -> nn.Module:
    """Two modalities; sees beyond its voxel, and neither side of a plane is like the other."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2 * slices, 5, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(5, outputs, (1, 5), padding="same"),
    ).eval()


def volume(shape: tuple[int, ...] = SHAPE) -> Tensor:
    """Nowhere zero, so that all of it is brain."""
    return torch.rand(2, *shape, generator=torch.Generator().manual_seed(1)) + 0.1


def patch(axis: int, shape: tuple[int, ...] = SHAPE) -> list[int]:
    """A whole slice."""
    return [1 if number == axis else size for number, size in enumerate(shape)]


def predicted(
    net: nn.Module, window: SlidingWindow, image: Tensor, head: str = "regions"
) -> Tensor:
    return SegmentationTask(net, head=head, inference=window).eval().probabilities(image[None])


def by_hand(net: nn.Module, image: Tensor, axis: int, neighbours: int = 0) -> Tensor:
    """Logits (K, X, Y, Z): each slice by itself, zeros before the first and after the last."""
    planes = [image.select(1 + axis, number) for number in range(image.shape[1 + axis])]
    nothing = [torch.zeros_like(planes[0])] * neighbours
    padded = [*nothing, *planes, *nothing]
    found = []
    for number in range(len(planes)):
        slab = padded[number : number + 2 * neighbours + 1]
        channels = [plane[modality] for modality in range(len(image)) for plane in slab]
        with torch.no_grad():
            found.append(net(torch.stack(channels)[None])[0])
    return torch.stack(found, 1 + axis)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_by_hand(axis: int) -> None:
    net, image = network(), volume()
    found = predicted(net, SlidingWindow(patch(axis), precision="32"), image)
    assert torch.allclose(found, by_hand(net, image, axis).sigmoid(), atol=1e-6)


@pytest.mark.parametrize("neighbours", [1, 2, 6])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_neighbours_by_hand_to_the_volume_s_ends(axis: int, neighbours: int) -> None:
    net, image = network(2 * neighbours + 1, 4), volume()
    window = SlidingWindow(patch(axis), precision="32", neighbours=neighbours, batch_size=3)
    found = predicted(net, window, image, "labels")
    assert torch.allclose(found, by_hand(net, image, axis, neighbours).softmax(0), atol=1e-6)


def test_the_order_of_neighbours_matters_to_the_network() -> None:
    """Or the tests above could not tell a slab from its mirror image."""
    net, image = network(3), volume()
    there = by_hand(net, image, 2, 1)
    back = by_hand(net, image.flip(3), 2, 1).flip(3)
    assert not torch.allclose(there, back, atol=1e-3)


def test_neighbours_lie_outside_the_brain_s_box_too() -> None:
    """A brain mask that leaves out slices does not make them zero for those beside them."""
    net, image = network(3), volume()
    brain = torch.zeros(SHAPE, dtype=torch.bool)
    brain[:, :, 4:6] = True
    window = SlidingWindow(patch(2), precision="32", neighbours=1)
    task = SegmentationTask(net).eval()
    found = window(task, image, "regions", brain)
    expected = by_hand(net, image, 2, 1).sigmoid()
    assert torch.allclose(found[..., 4:6], expected[..., 4:6], atol=1e-6)
    assert not found[..., :4].any()


def test_windows_smaller_than_a_slice_bring_their_neighbours() -> None:
    """What a network sees of one voxel alone does not depend on the windows."""

    class Middle(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack(
                [x[:, 0], x[:, 1], x[:, 5]], 1
            )  # below, itself; above, of the second

    image = volume((14, 11, 6))
    window = SlidingWindow((8, 16, 1), precision="32", neighbours=1, batch_size=2)
    found = predicted(Middle(6, 3, 1), window, image)
    below, above = F.pad(image, (1, 0))[..., :-1], F.pad(image, (0, 1))[..., 1:]
    expected = torch.stack([below[0], image[0], above[1]])
    assert torch.allclose(found, expected.sigmoid(), atol=1e-6)


def test_flips_mirror_slices_in_their_plane() -> None:
    net, image = network(3), volume()
    window = SlidingWindow(patch(2), precision="32", neighbours=1, tta="flips")
    logits = [by_hand(net, image.flip(axes), 2, 1).flip(axes) for axes in ((), (1,), (2,), (1, 2))]
    expected = torch.stack(logits).mean(0).sigmoid()
    assert torch.allclose(predicted(net, window, image), expected, atol=1e-6)


@pytest.mark.parametrize("neighbours", [0, 1])
def test_fusion_is_the_mean_over_transposed_volumes(neighbours: int) -> None:
    """Each axis in turn is made the last, sliced, and turned back."""
    net, image = network(2 * neighbours + 1, 4), volume((14, 14, 14))
    window = SlidingWindow(
        (14, 14, 1), precision="32", neighbours=neighbours, axes=("axial", "coronal", "sagittal")
    )
    turned = {0: (0, 2, 3, 1), 1: (0, 1, 3, 2), 2: (0, 1, 2, 3)}
    back = {0: (0, 3, 1, 2), 1: (0, 1, 3, 2), 2: (0, 1, 2, 3)}
    alone = [
        by_hand(net, image.permute(turned[axis]), 2, neighbours).softmax(0).permute(back[axis])
        for axis in range(3)
    ]
    found = predicted(net, window, image, "labels")
    assert torch.allclose(found, torch.stack(alone).mean(0), atol=1e-6)
    assert torch.allclose(found.sum(0), torch.ones(14, 14, 14), atol=1e-5)
    assert not torch.allclose(alone[0], alone[2], atol=1e-2)


def test_fusion_of_windows_that_are_longer_one_way() -> None:
    """The sides in the plane keep their order, so each window is a whole slice here."""
    net, image = network(), volume((12, 12, 20))
    window = SlidingWindow((12, 20, 1), precision="32", axes=("coronal", "sagittal"))
    expected = (by_hand(net, image, 1).sigmoid() + by_hand(net, image, 0).sigmoid()) / 2
    assert torch.allclose(predicted(net, window, image), expected, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_axis_by_name(axis: int) -> None:
    net, image = network(), volume((14, 14, 14))
    window = SlidingWindow((14, 14, 1), precision="32", axes=(AXES[axis],))
    assert torch.allclose(
        predicted(net, window, image), by_hand(net, image, axis).sigmoid(), atol=1e-6
    )


@pytest.mark.parametrize("wrong", [{"axes": ("axial",)}, {"neighbours": 1}])
def test_volumes_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=r"inference\..* is for slices"):
        SlidingWindow((16, 16, 16), **wrong)
