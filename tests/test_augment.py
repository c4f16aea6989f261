"""Plans on tensors: what they do to a batch, against NumPy, SciPy and definitions by hand."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_brats import augment
from lightning_brats.augment import ByChannel, Flip, Plan, augment_, thin_axis

SHAPE = (9, 12, 7)
STEPS = [
    ByChannel(augment.noise_, [(0.0, 0.1, 5), (0.0, 0.1, 6)]),
    ByChannel(augment.blur_, [(0.5, 0.7, 1.0), None]),
    ByChannel(augment.scale_, [1.2, 0.8]),
    ByChannel(augment.stretch_, [0.8, 1.2]),
    ByChannel(augment.coarsen_, [None, (0.6, 0.6, 0.6)]),
    ByChannel(augment.gamma_, [(1.4, True), (0.8, False)]),
    ByChannel(augment.power_law_, [0.9, None]),
    ByChannel(augment.bias_, [([0.1] * 20, 3), None]),
    Flip((0, 2)),
]


def patches(
    batch: int = 1, shape: tuple[int, ...] = SHAPE, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor]:
    """Image (B, 2, …) with an empty border, and mask (B, 1, …)."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(batch, 2, *shape, generator=generator) * 2 + 1
    image[:, :, :2] = 0
    mask = torch.randint(0, 5, (batch, 1, *shape), generator=generator).to(torch.uint8)
    return image.to(dtype), mask


@pytest.mark.parametrize("axes", [(0,), (1, 2), (0, 1, 2)])
def test_flips_move_image_and_mask_together(axes: tuple[int, ...]) -> None:
    mask = patches()[1]
    image = mask.float().repeat(1, 2, 1, 1, 1)
    expected = np.flip(mask[0, 0].numpy(), axes).copy()
    augment_(image, mask, [Plan([Flip(axes)])])
    for channel in image[0]:
        assert np.array_equal(channel.numpy(), expected)
    assert np.array_equal(mask[0, 0].numpy(), expected)


def test_each_patch_and_channel_has_its_own_parameters() -> None:
    image, mask = patches(3)
    before = image.clone()
    stds = (0.8, 0.5, 1.0)
    plans = [
        Plan([ByChannel(augment.scale_, [2.0, None])]),
        Plan([ByChannel(augment.blur_, [None, stds]), Flip((1,))]),
        Plan(),
    ]
    augment_(image, mask, plans)
    assert torch.equal(image[0, 0], before[0, 0] * 2)
    assert torch.equal(image[0, 1], before[0, 1])
    blurred = ndimage.gaussian_filter(before[1, 1].numpy(), stds)
    assert np.allclose(image[1, 1].numpy(), np.flip(blurred, 1), atol=1e-5)
    assert torch.equal(image[1, 0], before[1, 0].flip(1))
    assert torch.equal(image[2], before[2])


def test_low_resolution_by_hand() -> None:
    """Eight voxels on a line, of which every second interval keeps one."""
    line = torch.tensor([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0])
    image, mask = line.view(1, 1, 8, 1, 1).clone(), torch.zeros(1, 1, 8, 1, 1)
    plan = Plan([ByChannel(augment.coarsen_, [(0.5, 1.0, 0.5)])])
    kept = line[[1, 3, 5, 7]].numpy()  # whose centres are nearest to those of the coarse voxels
    places = (np.arange(8) + 0.5) / 2 - 0.5
    expected = np.interp(places, np.arange(4), kept)
    # The thin axis counts as the last one, so the line of this patch is its first axis still.
    augment_(image, mask, [plan])
    assert np.allclose(image.flatten().numpy(), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_gamma_keeps_mean_and_deviation_and_contrast_the_range(dtype: torch.dtype) -> None:
    image, mask = patches(2, (16, 16, 16), dtype)
    before = image.float().clone()
    gamma = ByChannel(augment.gamma_, [(0.7, False), (1.5, True)])
    contrast = ByChannel(augment.stretch_, [1.25, 0.75])
    augment_(image, mask, [Plan([gamma]), Plan([contrast])])
    after = image.float()
    for channel in range(2):
        x, y = before[0, channel], after[0, channel]
        assert y.mean().item() == pytest.approx(x.mean().item(), abs=1e-3)
        assert y.std().item() == pytest.approx(x.std().item(), abs=2e-3)
        assert (x - y).abs().max() > 0.1
        x, y = before[1, channel], after[1, channel]
        assert x.min() <= y.min()
        assert y.max() <= x.max()
    assert after[1, 0].std() > before[1, 0].std()
    assert after[1, 1].std() < before[1, 1].std()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single_and_stays_finite(dtype: torch.dtype) -> None:
    image, mask = patches(2, dtype=dtype)
    image[1] *= 5_000  # times the brightness, more than fp16 can hold
    exact, labels = image.float(), mask.clone()
    bright = ByChannel(augment.scale_, [4.0, 4.0])
    plans = [Plan(STEPS, keep_background=True), Plan([bright, *STEPS])]
    augment_(image, mask, plans)
    augment_(exact, labels, plans)
    assert image.dtype == dtype
    assert image.isfinite().all()
    limit = torch.finfo(dtype).max
    assert torch.equal(image, exact.clamp(-limit, limit).to(dtype))
    assert torch.equal(mask, labels)


def test_autocast_changes_nothing() -> None:
    plain, automatic = patches(), patches()
    augment_(*plain, [Plan(STEPS)])
    with torch.autocast("cpu", torch.bfloat16):
        augment_(*automatic, [Plan(STEPS)])
    assert torch.equal(plain[0], automatic[0])


@pytest.mark.parametrize("value", [0.0, 3.0, 60_000.0])
def test_a_constant_patch_stays_finite(value: float) -> None:
    image = torch.full((1, 2, 8, 8, 8), value, dtype=torch.float16)
    augment_(image, torch.zeros(1, 1, 8, 8, 8), [Plan(STEPS)])
    assert image.isfinite().all()


def test_background_is_zero_again_where_all_channels_were() -> None:
    image, mask = patches()
    image[0, 0, 5] = 0  # one channel alone: not background
    image[0, :, :2] = -0.0
    augment_(image, mask, [Plan(STEPS, keep_background=True)])
    assert not image[0, :, -2:].any()  # flipped
    assert image[0, :, :-2].ne(0).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_count_their_thin_axis_last(axis: int) -> None:
    shape = [6, 6, 6]
    shape[axis] = 1
    image, mask = patches(1, tuple(shape))
    flat, labels = image.clone(), mask.clone()
    assert thin_axis(shape) == axis
    augment_(image, mask, [Plan(STEPS, keep_background=True)])
    other = flat.transpose(2 + axis, 4).clone(), labels.transpose(2 + axis, 4).clone()
    augment_(*other, [Plan(STEPS, keep_background=True)])
    assert torch.equal(image, other[0].transpose(2 + axis, 4))
    assert torch.equal(mask, other[1].transpose(2 + axis, 4))
    assert not torch.equal(mask, labels)


def test_thin_axis_is_the_last_where_none_is_thin() -> None:
    assert thin_axis((4, 5, 6)) == 2


class _NoQuestions(TorchDispatchMode):
    """Refuses what would make the host wait for a CUDA device, or copy to or from it."""

    WAITING = ("_local_scalar_dense", "is_nonzero", "nonzero", "item", "equal", "masked_select")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in self.WAITING, name
        return func(*args, **(kwargs or {}))


def test_nothing_waits_for_the_device() -> None:
    image, mask = patches(dtype=torch.float16)
    with _NoQuestions():
        augment_(image, mask, [Plan(STEPS, keep_background=True)])
    with pytest.raises(AssertionError), _NoQuestions():
        image.float().mean().item()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_gives_what_the_cpu_gives_without_waiting() -> None:
    image, mask = patches(2, (32, 32, 32), torch.float16)
    plans = [Plan(STEPS[1:], keep_background=True)] * 2  # noise is each device's own
    on_cuda = image.cuda(), mask.cuda()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        augment_(*on_cuda, plans)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    augment_(image, mask, plans)
    assert torch.allclose(on_cuda[0].cpu().float(), image.float(), atol=2e-2)
    assert torch.equal(on_cuda[1].cpu(), mask)


def test_a_plan_repeats_itself_also_when_sent() -> None:
    plan = Plan(STEPS, keep_background=True)
    sent = pickle.loads(pickle.dumps(plan))
    first, second = patches(), patches()
    augment_(*first, [plan])
    augment_(*second, [sent])
    assert torch.equal(first[0], second[0])
    assert repr(sent) == repr(plan)
    assert len(pickle.dumps(plan)) < 2000


def test_wrong_plans_are_refused() -> None:
    image, mask = patches(2)
    with pytest.raises(ValueError, match="channels than 2"):
        augment_(image, mask, [Plan([ByChannel(augment.scale_, [1.0])])] * 2)
    with pytest.raises(ValueError, match="shorter"):
        augment_(image, mask, [Plan()])
