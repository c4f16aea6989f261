"""Cutting patches out of prepared volumes, and augmenting them.

Only the region that a patch needs (with a margin for spatial transforms) is read from the mapped
volume.

Shapes: `B` batch, `C` modalities, `px py pz` the patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torchio as tio
from torch.utils.data import Dataset

from lightning_brats.data.cache import CachedCase
from lightning_brats.data.sampling import PatchRequest, patch_corner


class PatchDataset(Dataset):
    """Cuts and augments the patch that a request asks for.

    Args:
        cases: Cached cases, in the order that requests count them.
        patch_size: (px, py, pz).
        transform: TorchIO transform, applied to the patch and its margin.
        margin: Voxels around the patch on axes longer than 1.
    """

    def __init__(
        self,
        cases: Sequence[CachedCase],
        patch_size: Sequence[int],
        transform: tio.Transform | None = None,
        margin: int = 0,
    ) -> None:
        self.cases, self.transform = list(cases), transform
        self.patch_size = tuple(patch_size)
        self.margin = tuple(margin if size > 1 else 0 for size in self.patch_size)

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, request: PatchRequest) -> tio.Subject:
        """Patch as a subject with `image` (C, px, py, pz) fp16 and `mask` (1, px, py, pz) uint8."""
        case = self.cases[request.subject]
        generator = np.random.default_rng(request.seed)
        shape = case.shape
        corner = patch_corner(shape, self.patch_size, case.foreground, request.forced, generator)
        corner = tuple(c - m for c, m in zip(corner, self.margin, strict=True))
        size = tuple(p + 2 * m for p, m in zip(self.patch_size, self.margin, strict=True))
        mask = case.mask
        assert mask is not None, f"{case.folder} has no mask"
        image = torch.from_numpy(read_region(case.image, corner, size))
        labels = torch.from_numpy(read_region(mask[None], corner, size))
        subject = tio.Subject(
            image=tio.ScalarImage(tensor=image),
            mask=tio.LabelMap(tensor=labels),
            case=case.meta["case"],
        )
        return self._augment(subject, self.transform, request.seed) if self.transform else subject

    def _augment(self, subject: Any, transform: tio.Transform, seed: int) -> tio.Subject:
        subject.image.set_data(subject.image.data.float())
        with torch.random.fork_rng(devices=[]):  # TorchIO draws from torch's global generator
            torch.manual_seed(seed)
            subject = transform(subject)
        inner = tuple(slice(m, m + p) for m, p in zip(self.margin, self.patch_size, strict=True))
        for name, dtype in (("image", torch.float16), ("mask", torch.uint8)):
            subject[name].set_data(subject[name].data[(slice(None), *inner)].to(dtype))
        return subject


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


def collate(subjects: Sequence[tio.Subject]) -> dict[str, torch.Tensor | list[str]]:
    """Subjects → `image` (B, C, px, py, pz) fp16, `mask` (B, 1, px, py, pz) uint8, `case`."""
    return {
        "image": torch.stack([s.image.data for s in subjects]),
        "mask": torch.stack([s.mask.data for s in subjects]),
        "case": [str(s["case"]) for s in subjects],
    }
