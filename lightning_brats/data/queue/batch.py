"""A batch of patches in one piece of memory.

Shapes: `B` batch, `C` modalities, `px py pz` the patch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, overload

import torchio as tio
from torch import Tensor

from lightning_brats.data.patches import PLAN, collate


class PatchBatch(Sequence[tio.Subject]):
    """Patches that lie in one tensor each for images and masks; subjects are made when asked for.

    Args:
        image: (B, C, px, py, pz) fp16.
        mask: (B, 1, px, py, pz) uint8.
        facts: What each patch carries besides, and its history.
    """

    def __init__(self, image: Tensor, mask: Tensor, facts: Sequence[Mapping[str, Any]]) -> None:
        self.image, self.mask, self.facts = image, mask, facts

    def __len__(self) -> int:
        return len(self.facts)

    @overload
    def __getitem__(self, index: int) -> tio.Subject: ...
    @overload
    def __getitem__(self, index: slice) -> PatchBatch: ...
    def __getitem__(self, index: int | slice) -> tio.Subject | PatchBatch:
        if isinstance(index, slice):
            return PatchBatch(self.image[index], self.mask[index], self.facts[index])
        subject = tio.Subject(
            image=tio.ScalarImage(tensor=self.image[index]),
            mask=tio.LabelMap(tensor=self.mask[index]),
            **self.facts[index]["entries"],
        )
        subject.applied_transforms = list(self.facts[index]["history"])
        return subject


def collate_patches(patches: Sequence[tio.Subject]) -> dict[str, Any]:
    """`image` (B, C, px, py, pz) fp16, `mask` (B, 1, px, py, pz) uint8, `case`; no copy.

    What is left to the training device comes as `augmentation`, one plan for each.
    """
    if not isinstance(patches, PatchBatch):
        return collate(patches)
    entries = [found["entries"] for found in patches.facts]
    cases = [str(entry["case"]) for entry in entries]
    batch: dict[str, Any] = {"image": patches.image, "mask": patches.mask, "case": cases}
    if PLAN in entries[0]:
        batch[PLAN] = [entry[PLAN] for entry in entries]
    return batch
