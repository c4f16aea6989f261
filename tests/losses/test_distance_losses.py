"""Boundary and Hausdorff losses by hand and against MONAI's; distances against a second library."""

from __future__ import annotations

import monai.losses
import pytest
import torch
from loss_samples import HEADS, sample
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from lightning_brats.losses import dice_boundary, dice_hausdorff
from lightning_brats.losses.distance import Boundary, Hausdorff, distances


def line(values: list[float]) -> Tensor:
    return torch.tensor(values).view(1, 1, 1, -1)


def test_boundary_by_hand() -> None:
    # Voxels at distance -1 0 | 1 2 of the boundary, all with probability ½:
    # -1·(½ - 1) + 0 + 1·½ + 2·½ = 2, over four voxels
    loss = Boundary("regions")(line([0.0, 0, 0, 0]), line([1.0, 1, 0, 0]))
    assert loss.item() == pytest.approx(2 / 4)


def test_hausdorff_by_hand() -> None:
    # Reference: distances 2 1 | 1 2; prediction, the first voxel alone: 1 | 1 2 3.
    logits = line([50.0, -50, -50, -50])
    loss = Hausdorff("regions")(logits, line([1.0, 1, 0, 0]))
    assert loss.item() == pytest.approx((1 + 1) / 4)  # only the second voxel is wrong
    cubed = Hausdorff("regions", alpha=3)(line([-50.0, 50, 50, -50]), line([1.0, 1, 0, 0]))
    assert cubed.item() == pytest.approx((2**3 + 1 + 1 + 1) / 4)


@pytest.mark.parametrize("shape", [(6, 7), (5, 6, 7)])
def test_distances_are_scipys(shape: tuple[int, ...]) -> None:
    masks = (torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(1)) < 0.4).float()
    masks[0, 0], masks[1, 2] = 0, 1
    inside, outside = distances(masks)
    assert not inside[0, 0].any()
    assert not outside[0, 0].any()
    assert not inside[1, 2].any()
    assert not outside[1, 2].any()
    for index in ((0, 1), (0, 2), (1, 0), (1, 1)):
        for found, mask in ((inside, masks), (outside, 1 - masks)):
            expected = torch.from_numpy(distance_transform_edt(mask[index].numpy()))
            torch.testing.assert_close(found[index].double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("shape", [(6, 7), (5, 6, 7)])
def test_values_are_monais(head: str, shape: tuple[int, ...]) -> None:
    logits, target = sample(head, shape)
    settings = {
        "sigmoid": head == "regions",
        "softmax": head == "labels",
        "to_onehot_y": head == "labels",
        "include_background": head == "regions",
    }
    target = target.long() if head == "labels" else target.float()  # theirs rounds with integers
    theirs = monai.losses.HausdorffDTLoss(alpha=1.5, **settings)(logits, target)
    ours = Hausdorff(head, 1.5)(logits, target)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.skipif(not hasattr(monai.losses, "BoundaryLoss"), reason="MONAI 1.6 has it")
def test_boundary_is_monais_with_a_constant_added() -> None:
    logits, target = sample("regions")
    masks = target.float()
    theirs = monai.losses.BoundaryLoss(sigmoid=True)
    constant = theirs((masks - 0.5) * 1e3, masks)  # of a perfect prediction
    torch.testing.assert_close(Boundary("regions")(logits, masks), theirs(logits, masks) - constant)


@pytest.mark.parametrize("make", [dice_boundary, dice_hausdorff])
def test_an_absent_region_is_left_to_dice(make) -> None:
    logits = torch.full((1, 1, 4, 4, 4), -30.0)
    masks = torch.zeros(1, 1, 4, 4, 4)
    assert make("regions")(logits, masks) < 1e-4
