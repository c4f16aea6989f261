"""One patch with what it carries besides, or an error that says which case it was."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torchio as tio
from torch import Tensor

from lightning_brats.data.patches import PatchDataset
from lightning_brats.data.sampling import PatchRequest
from lightning_brats.errors import BratsError, ConfigError


class WorkerError(BratsError):
    """A worker failed or died."""


class Patch(NamedTuple):
    """A patch where it was cut; valid until its slot is released."""

    image: Tensor  # (C, px, py, pz) fp16
    mask: Tensor  # (1, px, py, pz) uint8
    facts: Mapping[str, Any]
    slot: int = -1


class InProcess:
    """Cuts patches in the caller's process, as `PatchWorkers` do in theirs.

    Args:
        dataset: Cuts the patches.
    """

    pids: tuple[int, ...] = ()

    def __init__(self, dataset: PatchDataset) -> None:
        self.dataset = dataset

    def ready(self) -> int:
        """None is cut ahead."""
        return 0

    def raise_failure(self, within: int) -> None:
        """None is cut ahead."""

    def ask(self, requests: Iterator[PatchRequest]) -> None:
        """None is cut ahead."""

    def take(self, requests: Iterator[PatchRequest]) -> Patch:
        """Cut the next patch.

        Raises:
            BratsError: It could not be cut.
        """
        return cut(self.dataset, next(requests))

    def release(self, patch: Patch) -> None:
        """It is the caller's own."""

    def forget(self) -> None:
        """Nothing was asked for."""

    def close(self) -> None:
        """Nothing is open."""


def cut(dataset: PatchDataset, request: PatchRequest) -> Patch:
    """The patch with what it carries besides, or an error that says which case it was.

    Raises:
        BratsError: As the data set raised it; `WorkerError` with its traceback for any other.
    """
    try:
        subject: Any = dataset[request]
        image, mask = subject["image"].data, subject["mask"].data
        for found in (image, mask):
            if found.shape[1:] != dataset.patch_size:
                raise ConfigError(
                    f"the augmentation returns patches of {tuple(found.shape[1:])} instead of "
                    f"{dataset.patch_size}",
                    remedy="leave out transforms that change the shape, such as crops and pads",
                )
        return Patch(image, mask, _facts(subject))
    except Exception as error:
        raise _explained(error, dataset, request) from error


def _facts(subject: tio.Subject) -> dict[str, Any]:
    """What a patch carries besides voxels, and its history, as far as they can be sent."""
    entries = {key: value for key, value in subject.items() if not isinstance(value, tio.Image)}
    return {
        "entries": {key: value for key, value in entries.items() if _can_be_sent(value)},
        "history": [step for step in subject.applied_transforms if _can_be_sent(step)],
    }


def _can_be_sent(value: Any) -> bool:
    """Whether something can be pickled; a lambda, for one, cannot."""
    try:
        pickle.dumps(value)
    except Exception:  # whatever an object's own pickling raises
        return False
    return True


def _explained(error: Exception, dataset: PatchDataset, request: PatchRequest) -> BratsError:
    case = case_name(dataset, request)
    if isinstance(error, BratsError):
        if error.case:
            return error
        return type(error)(error.problem, case=case, file=error.file, remedy=error.remedy)
    remedy = None
    if isinstance(error, OSError | EOFError):
        remedy = "the prepared files are gone or damaged: run again, and they are made anew"
    elif isinstance(error, MemoryError):
        remedy = "lower queue.workers or queue.patch_size"
    return WorkerError(
        f"no patch could be cut: {type(error).__name__}: {error}\n"
        + "".join(traceback.format_exception(error)).rstrip(),
        case=case,
        file=dataset.cases[request.subject].folder,
        remedy=remedy,
    )


def case_name(dataset: PatchDataset, request: PatchRequest) -> str:
    """The case that a request is about."""
    entry = dataset.cases[request.subject]
    try:
        return str(entry.meta["case"])
    except (BratsError, OSError, ValueError, KeyError):  # it may be what is being reported
        return entry.folder.name
