"""Cutting patches out of prepared volumes, and augmenting them.

Only the voxels that a patch needs are read from the mapped volume: the patch itself, or what its
own rotation, scaling and deformation take it from.

Shapes: `B` batch, `C` modalities, `x y z` the volume, `px py pz` the patch. Slices with their
neighbours have `C * S` channels, S slices of each modality (`slices.neighbours_as_channels`).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torchio as tio
from torch.utils.data import Dataset

from lightning_brats.augment import thin_axis
from lightning_brats.data.cache import CachedCase
from lightning_brats.data.placement import patch_corner
from lightning_brats.data.sampling import PatchRequest
from lightning_brats.data.slabs import Slab, transform_slab
from lightning_brats.data.transforms import Warp, draw_plan, leading_warp, obstacle, padding
from lightning_brats.errors import DataError
from lightning_brats.slices import across, neighbours_as_channels, slab_slices, slice_axis

HALF_MAX = float(torch.finfo(torch.float16).max)
PLAN = "augmentation"
"""Entry of a subject, or of a batch (one for each patch), that is still to be applied."""


class PatchDataset(Dataset):
    """Cuts and augments the patch that a request asks for.

    A patch is a function of its request alone: place and augmentation come from the request's seed,
    whichever process cuts it.

    Args:
        cases: Cached cases, in the order that requests count them.
        patch_size: (px, py, pz).
        transform: TorchIO transform of a subject with `image` (C, …) float32 and `mask` (1, …)
            uint8. A `RandomWarp` that it begins with decides which voxels are read; everything else
            sees the patch and its margin. Slices have their thin axis last, as TorchIO expects.
        margin: Voxels around the patch on axes longer than 1, cut off after the transform.
        on_device: Leave all but the warp to the training device: subjects then hold an
            `augmentation` (`augment.Plan`), the very one that would have been applied here.
        neighbours: Slices on either side of a slice that are channels as well; zero where they
            would lie outside the volume. All are augmented alike: turned, scaled and bent in their
            plane, and with the same changes of intensity.
        axes: Along which slices are cut, one drawn for each patch; by default the patch's own. A
            slice along another one is laid out as the patch's: the sides in its plane keep their
            order.

    Raises:
        ValueError: `on_device` with a margin or a transform that can work in the workers alone
            (see `works_on_device`).
    """

    def __init__(
        self,
        cases: Sequence[CachedCase],
        patch_size: Sequence[int],
        transform: tio.Transform | None = None,
        margin: int = 0,
        on_device: bool = False,
        neighbours: int = 0,
        axes: Sequence[int] = (),
    ) -> None:
        self.cases, self.transform, self.neighbours = cases, transform, neighbours
        hindrance = obstacle(leading_warp(transform)[1])
        if on_device and (hindrance or margin):
            raise ValueError(f"on_device: {hindrance or 'a margin is for the workers'}")
        self.on_device, self._plans = on_device, hindrance is None
        self.patch_size = tuple(patch_size)
        self.axes: tuple[int | None, ...] = tuple(axes) or (slice_axis(self.patch_size),)
        self.margin = margin if transform is not None else 0
        if margin == 0 and (names := padding(transform)):
            warnings.warn(
                f"{', '.join(names)} will show padding inside patches: set queue.margin to the "
                "voxels by which they may move something, or use RandomWarp, which needs none",
                stacklevel=2,
            )

    def __len__(self) -> int:
        return len(self.cases)

    @property
    def slices(self) -> int:
        """S, of each modality."""
        return slab_slices(self.neighbours)

    @property
    def channels(self) -> int:
        """Of a patch."""
        return int(self.cases[0].image.shape[0]) * self.slices

    def __getitem__(self, request: PatchRequest) -> tio.Subject:
        """Patch as a subject with `image` (C, px, py, pz) fp16 and `mask` (1, px, py, pz) uint8.

        Raises:
            DataError: The case's prepared files cannot be used (any more).
        """
        case = self.cases[request.subject]
        place = np.random.default_rng(request.seed)
        axis = self.axes[0] if len(self.axes) == 1 else self.axes[place.integers(len(self.axes))]
        patch = across(self.patch_size, axis)
        corner: Sequence[int] = patch_corner(case.shape, patch, case.foreground, request, place)
        margin = self._margins(patch)
        corner = [c - m for c, m in zip(corner, margin, strict=True)]
        size = [p + 2 * m for p, m in zip(patch, margin, strict=True)]
        slab = Slab(axis or 0, self.neighbours)
        if self.transform is None:
            return self._laid_out(cut(case, corner, size, slab), axis)
        first, others = leading_warp(self.transform)
        with torch.random.fork_rng(devices=[]):  # TorchIO draws from torch's global generator
            torch.manual_seed(request.seed)
            warp = first.plan(size) if first else None
            box = (case, corner, size, slab)
            subject = self._laid_out(warp_from(*box, warp) if warp else cut(*box), axis)
            if self._plans:
                return self._finish(self._planned(others, subject))
            subject.image.set_data(subject.image.data.float())
            return self._finish(self._apply(others, subject))

    def _margins(self, patch: Sequence[int]) -> list[int]:
        return [self.margin if size > 1 else 0 for size in patch]

    def _laid_out(self, subject: tio.Subject, axis: int | None) -> tio.Subject:
        """A slice along any axis as one along the patch's own."""
        own = slice_axis(self.patch_size)
        if axis is not None and own is not None and axis != own:
            for image in subject.get_images(intensity_only=False):
                image.set_data(image.data.movedim(1 + axis, 1 + own).contiguous())
        return subject

    def _planned(self, transforms: Sequence[tio.Transform], subject: tio.Subject) -> tio.Subject:
        """Draw all, then apply it or leave it to the training device; with equal results."""
        image = half(subject.image.data)
        subject.image.set_data(image)
        shape = list(image.shape)
        thin = 1 + thin_axis(shape[1:])
        shape[thin], shape[3] = shape[3], shape[thin]
        shape[0] //= self.slices
        plan, steps = draw_plan(transforms, shape, self.slices)
        for step in steps:
            step._add_transform_to_subject_history(subject)  # as TorchIO does when it applies one
        if self.on_device:
            subject[PLAN] = plan
        else:
            plan.apply_(image, subject.mask.data)
        return subject

    def _apply(self, transforms: Sequence[tio.Transform], subject: tio.Subject) -> tio.Subject:
        thin = thin_axis(self.patch_size)
        if thin != 2:
            _swap(subject, thin, 2)
        if self.slices > 1:
            subject = transform_slab(transforms, subject, self.slices)
        else:
            for transform in transforms:
                subject = transform(subject)
        if thin != 2:
            _swap(subject, thin, 2)
        return subject

    def _finish(self, subject: tio.Subject) -> tio.Subject:
        margins = zip(self._margins(self.patch_size), self.patch_size, strict=True)
        inner = tuple(slice(m, m + p) for m, p in margins)
        image = half(subject.image.data[(slice(None), *inner)])
        mask = subject.mask.data[(slice(None), *inner)]
        subject.image.set_data(image.contiguous())
        subject.mask.set_data(mask.to(torch.uint8).contiguous())
        return subject


def half(image: torch.Tensor) -> torch.Tensor:
    """In fp16, cut at its range; as it is where it is fp16 already."""
    if image.dtype == torch.float16:
        return image
    return image.clamp_(-HALF_MAX, HALF_MAX).to(torch.float16)


def cut(
    case: CachedCase, corner: Sequence[int], size: Sequence[int], slab: Slab | None = None
) -> tio.Subject:
    """A box of the case, zero where it reaches outside: `image` fp16, `mask` uint8, `case`.

    Args:
        case: The case.
        corner: First voxel of the box.
        size: Of the box.
        slab: Slices around it, which the image has as channels.

    Raises:
        DataError: The case's files are unreadable, do not fit together, or hold no mask.
    """
    image, mask, name = case.image, case.mask, case.meta["case"]
    if mask is None:
        raise DataError(
            "there is no mask to learn from",
            case=name,
            file=case.folder,
            remedy="leave the case out of training, or add its mask to the data",
        )
    if not image.shape[1:] == mask.shape == tuple(case.shape):
        raise DataError(
            f"the prepared image {image.shape[1:]} and mask {mask.shape} are not of the prepared "
            f"shape {tuple(case.shape)}",
            case=name,
            file=case.folder,
            remedy="delete this folder; the case is prepared anew by the next run",
        )
    return tio.Subject(
        image=tio.ScalarImage(tensor=_read_slab(image, corner, size, slab or Slab())),
        mask=tio.LabelMap(tensor=torch.from_numpy(read_region(mask[None], corner, size))),
        case=name,
    )


def warp_from(
    case: CachedCase, corner: Sequence[int], size: Sequence[int], slab: Slab, warp: Warp
) -> tio.Subject:
    """A warped box of the case: `image` float32, `mask` uint8, `case`.

    The warp turns about the middle of the box. What it takes from outside the volume is zero.

    Args:
        case: The case.
        corner: First voxel of the box.
        size: Of the box.
        slab: Slices around it, which are warped as it is.
        warp: Where to take its voxels from.
    """
    needed = zip(*warp.source(corner, size), case.shape, strict=True)
    spans = [(min(max(low, 0), n - 1), max(min(high, n), 1)) for low, high, n in needed]
    low = [first for first, _ in spans]
    subject = cut(case, low, [max(stop - first, 1) for first, stop in spans], slab)
    middle = [c + (s - 1) / 2 - first for c, s, first in zip(corner, size, low, strict=True)]
    return warp.aimed(size, middle)(subject)


def _read_slab(
    image: np.ndarray, corner: Sequence[int], size: Sequence[int], slab: Slab
) -> torch.Tensor:
    """A box (C, *size) of an image; with neighbours (C * S, *size)."""
    axis, neighbours = slab
    if neighbours:
        corner, size = list(corner), list(size)
        corner[axis] -= neighbours
        size[axis] += 2 * neighbours
    region = torch.from_numpy(read_region(image, corner, size))
    return neighbours_as_channels(region, axis, neighbours)


def read_region(
    array: np.ndarray, corner: Sequence[int], size: Sequence[int], fill: float = 0
) -> np.ndarray:
    """Region (C, *size) of (C, x, y, z) from `corner`, `fill` where it reaches outside."""
    spans = list(zip(corner, size, array.shape[1:], strict=True))
    inside = tuple(slice(max(c, 0), min(c + s, full)) for c, s, full in spans)
    region = array[(slice(None), *inside)]
    if region.shape[1:] == tuple(size):
        return np.array(region)
    out = np.full((array.shape[0], *size), fill, array.dtype)
    target = tuple(slice(i.start - c, i.stop - c) for i, c in zip(inside, corner, strict=True))
    out[(slice(None), *target)] = region
    return out


def collate(subjects: Sequence[tio.Subject]) -> dict[str, Any]:
    """Subjects → `image` (B, C, px, py, pz) fp16, `mask` (B, 1, px, py, pz) uint8, `case`.

    What is left to the training device comes as `augmentation`, one plan for each.
    """
    batch: dict[str, Any] = {
        "image": torch.stack([s.image.data for s in subjects]),
        "mask": torch.stack([s.mask.data for s in subjects]),
        "case": [str(s["case"]) for s in subjects],
    }
    if PLAN in subjects[0]:
        batch[PLAN] = [s[PLAN] for s in subjects]
    return batch


def _swap(subject: tio.Subject, first: int, second: int) -> None:
    """Exchange two spatial axes of every image."""
    for image in subject.get_images(intensity_only=False):
        image.set_data(image.data.transpose(1 + first, 1 + second).contiguous())
