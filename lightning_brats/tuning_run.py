"""A run's own post-processing: chosen on its validation cases, kept with its weights.

The test cases cannot take part: probabilities are kept of the validation cases alone, and the
search reads those files.

Shapes: `K` outputs, `x y z` a cropped volume.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from lightning_brats.console import console
from lightning_brats.data.splits import Split
from lightning_brats.errors import ConfigError
from lightning_brats.labels import SNFH
from lightning_brats.metrics import score_case
from lightning_brats.metrics.overlap import overlap
from lightning_brats.postprocess import (
    Grid,
    Head,
    Postprocess,
    Tuned,
    TuningCase,
    near_tumour,
    tune,
)
from lightning_brats.postprocess.steps import Spacing
from lightning_brats.postprocess.tuning import Score
from lightning_brats.runs import write_json
from lightning_brats.task import SegmentationTask

STORED = "postprocess.json"
"""File of a run's folder that holds what was chosen."""
PROBABILITIES = "probabilities"
"""Folder of a run for what it tunes on; folds keep it, for their ensemble to be tuned on."""


def _dice(reference: np.ndarray, predicted: np.ndarray, spacing: Spacing) -> float:
    counts = overlap(
        reference=int(reference.sum()),
        prediction=int(predicted.sum()),
        hit=int((reference & predicted).sum()),
        voxels=reference.size,
        spacing=(spacing[0], spacing[1], spacing[2]),
    )
    return counts["dice"]


def _challenge(
    reference: np.ndarray, predicted: np.ndarray, spacing: Spacing, protocol: str, metric: str
) -> float:
    """A metric that needs a protocol: the region's masks are scored as whole tumours."""
    first, second = (mask.astype(np.uint8) * SNFH for mask in (reference, predicted))
    size = (spacing[0], spacing[1], spacing[2])
    return score_case(first, second, size, protocol, regions=["WT"])["WT"][metric]


SCORES: Mapping[str, Score] = MappingProxyType(
    {
        "dice": _dice,
        "nsd_1.0": partial(_challenge, protocol="legacy", metric="nsd_1.0"),
        "lesion_dice": partial(_challenge, protocol="brats2023-gli", metric="lesion_dice"),
    }
)
"""Metrics to choose by; none of them counts background voxels."""


@dataclass(frozen=True)
class Tuning:
    """How a run chooses its post-processing.

    Args:
        base: Where the search starts; its steps other than `DropSmall` are kept.
        metric: Mean over cases and regions to maximise, one of `SCORES`.
        grid: Values tried.

    Raises:
        ConfigError: An unknown metric, or values that cannot be.
    """

    base: Postprocess
    metric: str = "dice"
    grid: Grid = field(default_factory=Grid)

    def __post_init__(self) -> None:
        if self.metric not in SCORES:
            raise ConfigError(
                f"postprocess.metric={self.metric} is unknown",
                remedy=f"choose one of {', '.join(SCORES)}",
            )
        for threshold in self.grid.thresholds:
            Postprocess(threshold=threshold)  # refuses what is no probability

    def check(self, split: Split) -> None:
        """Raise `ConfigError` where there is nothing to choose on."""
        if not split.validation:
            raise ConfigError(
                "postprocess=tuned has no validation cases to choose on",
                remedy="give some: split.validation=0.1, or choose another postprocess",
            )


class ProbabilityWriter(pl.Callback):
    """Keeps each predicted volume's probabilities and reference as `<folder>/<case>.npz`.

    Args:
        folder: Where they go.
        allowed: Cases that may be kept.
    """

    def __init__(self, folder: Path, allowed: Sequence[str]) -> None:
        self.folder, self.allowed = folder, frozenset(allowed)

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget what a run that stopped here left behind."""
        if trainer.is_global_zero:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
        trainer.strategy.barrier()

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: torch.Tensor,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep one case in half precision, on disk, so that memory holds one at a time."""
        origin = batch["origin"]
        if origin.case.case not in self.allowed:
            raise RuntimeError(f"{origin.case.case} is not for tuning on")
        if not batch["counted"]:
            return
        labels = batch["mask"][0, 0].cpu().numpy()
        case = TuningCase(outputs.half().cpu().numpy(), labels, origin.geometry.spacing)
        _write(self.folder / f"{origin.case.case}.npz", case)


def kept_cases(folder: Path) -> Iterator[TuningCase]:
    """What a `ProbabilityWriter` kept, one case after the other."""
    for path in sorted(folder.glob("*.npz")):
        yield _read(path)


def choose(
    kept: Path,
    run: Path,
    checkpoint: Path,
    tuning: Tuning,
    task: SegmentationTask,
    keep: bool = False,
) -> None:
    """Search, and store the result in the run's `postprocess.json` and in the checkpoint.

    Args:
        kept: Folder of a `ProbabilityWriter`.
        run: The run's folder.
        checkpoint: Its weights, which predict with what is chosen from now on.
        tuning: What to search.
        task: Says what the outputs are.
        keep: Whether to keep the probabilities, cut to the tumours' surroundings.

    Raises:
        DataError: There is no case to tune on.
    """
    found = search([kept], run, tuning, task.regions, task.head)
    _store(checkpoint, found)
    if keep:
        _cut(kept, tuning, task.regions, task.head)
    else:
        shutil.rmtree(kept)


def search(
    kept: Sequence[Path],
    output: Path,
    tuning: Tuning,
    regions: Sequence[str],
    head: Head,
    title: str = "post-processing",
    which: str = "validation",
) -> Postprocess:
    """Choose on all kept cases, store the choice in `<output>/postprocess.json`, and print it.

    Args:
        kept: Folders of `ProbabilityWriter`s.
        output: Where to store it.
        tuning: What to search.
        regions: In the networks' order.
        head: What the networks' outputs are.
        title: What is tuned.
        which: The cases it is tuned on.

    Raises:
        DataError: There is no case to tune on.
    """
    found = tune(
        (case for folder in kept for case in kept_cases(folder)),
        regions,
        head,
        _remembering(SCORES[tuning.metric]),
        tuning.base,
        tuning.grid,
    )
    cases = sum(len(list(folder.glob("*.npz"))) for folder in kept)
    write_json(output / STORED, _describe(found, tuning.metric, cases))
    console.print(
        f"{title} tuned on {cases} {which} cases: mean {tuning.metric} "
        f"{found.before:.4f} → {found.after:.4f} (gain {found.gain:.4f}; expect less on others)"
    )
    return found.postprocess


def chosen(run: Path) -> Postprocess:
    """What `choose` stored with a run."""
    return Postprocess.from_dict(json.loads((run / STORED).read_text())["postprocess"])


def _read(path: Path) -> TuningCase:
    with np.load(path) as stored:
        x, y, z = stored["spacing"].tolist()
        return TuningCase(stored["probabilities"], stored["labels"], (x, y, z))


def _write(path: Path, case: TuningCase) -> None:
    np.savez(
        path,
        probabilities=case.probabilities.astype(np.float16, copy=False),
        labels=case.labels,
        spacing=np.asarray(case.spacing),
    )


def _cut(folder: Path, tuning: Tuning, regions: Sequence[str], head: Head) -> None:
    """Keep of each case what a search looks at: a twentieth of a brain, as a rule."""
    for path in folder.glob("*.npz"):
        _write(path, near_tumour(_read(path), regions, head, tuning.base, tuning.grid))


def _remembering(score: Score) -> Score:
    """The same score, computed once: a candidate leaves most regions as the last one had them."""
    known: dict[bytes, float] = {}

    def look_up(reference: np.ndarray, predicted: np.ndarray, spacing: Spacing) -> float:
        facts = str((reference.shape, spacing)).encode()
        parts = (facts, np.packbits(reference).tobytes(), np.packbits(predicted).tobytes())
        key = hashlib.sha256(b"".join(parts)).digest()
        if key not in known:
            known[key] = score(reference, predicted, spacing)
        return known[key]

    return look_up


def _describe(found: Tuned, metric: str, cases: int) -> dict[str, Any]:
    return {
        "metric": metric,
        "validation_cases": cases,
        "before": found.before,
        "after": found.after,
        "gain": found.gain,
        "postprocess": found.postprocess.to_dict(),
    }


def _store(checkpoint: Path, postprocess: Postprocess) -> None:
    """Replace the checkpoint's post-processing, in one step."""
    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    content["hyper_parameters"]["context"]["postprocess"] = postprocess.to_dict()
    partial_file = checkpoint.with_suffix(".partial")
    torch.save(content, partial_file)
    partial_file.replace(checkpoint)
