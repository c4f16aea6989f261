"""Masks, soft maps and the table of a folder of predictions."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytorch_lightning as pl
import torch

from lightning_brats.data.case import Case, write_mask
from lightning_brats.data.preprocess import Geometry
from lightning_brats.postprocess import Postprocess
from lightning_brats.task import SegmentationTask

STEPS = 2**15
"""Probabilities are stored in steps of 2⁻¹⁵: NIfTI has no half precision, and so 0.5 is exact."""


class PredictionWriter(pl.Callback):
    """Turns each predicted volume into `<folder>/<case>.nii.gz`.

    Args:
        folder: Where masks go.
        postprocess: Probabilities → labels.
    """

    def __init__(self, folder: Path, postprocess: Postprocess) -> None:
        self.folder, self.postprocess = folder, postprocess

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: torch.Tensor,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write one case."""
        assert isinstance(pl_module, SegmentationTask)
        if not batch["counted"]:
            return
        case, geometry = batch["origin"].case, batch["origin"].geometry
        probabilities = outputs.float().cpu().numpy()
        labels = self.postprocess(
            probabilities, geometry.spacing, pl_module.regions, pl_module.head
        )
        save_labels(self.folder, case, geometry, labels)


def save_labels(folder: Path, case: Case, geometry: Geometry, labels: np.ndarray) -> Path:
    """Write labels (x, y, z) of the cropped grid as the case's mask on its own grid."""
    path = folder / f"{case.case}.nii.gz"
    with _whole(path) as partial:
        write_mask(partial, geometry.restore(labels), np.asarray(geometry.affine), case.scheme)
    return path


def save_probabilities(path: Path, geometry: Geometry, probabilities: np.ndarray) -> None:
    """Write (R, x, y, z) as (X, Y, Z, R) on the file's grid, 16-bit integers scaled to [0, 1]."""
    steps = np.rint(probabilities * STEPS).astype(np.uint16)
    image = nib.Nifti1Image(np.moveaxis(geometry.restore(steps), 0, -1), None)
    image.header.set_slope_inter(1 / STEPS, 0)
    _save(image, path, geometry)


def save_map(path: Path, geometry: Geometry, values: np.ndarray) -> None:
    """Write (x, y, z) float32 on the file's grid."""
    _save(nib.Nifti1Image(geometry.restore(values.astype(np.float32)), None), path, geometry)


class Table:
    """A CSV file whose rows are safe as soon as they are written.

    Args:
        path: The file; an earlier one is replaced.
        columns: Their names.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path, self.columns = path, list(columns)
        with path.open("w", newline="") as stream:
            csv.DictWriter(stream, self.columns).writeheader()

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row; numbers get six significant digits."""
        short = {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
        with self.path.open("a", newline="") as stream:
            csv.DictWriter(stream, self.columns).writerow(short)


def _save(image: nib.Nifti1Image, path: Path, geometry: Geometry) -> None:
    affine = np.asarray(geometry.affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm")
    with _whole(path) as partial:
        nib.save(image, partial)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A name to write to that becomes `path` at the end: what stops midway leaves nothing."""
    partial = path.with_name(f".{path.name}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
