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

from lightning_brats.data.case import Case
from lightning_brats.data.preprocess import Geometry
from lightning_brats.data.reading import write_mask
from lightning_brats.labels import BACKGROUND
from lightning_brats.postprocess import Postprocess
from lightning_brats.task import SegmentationTask


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
        background = BACKGROUND if pl_module.head == "labels" else None
        # Labels are made where they are written: masks that are interpolated lose what is thin.
        probabilities, geometry = geometry.to_native(outputs.float().cpu().numpy(), background)
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


def save_map(path: Path, geometry: Geometry, values: np.ndarray) -> None:
    """Write (x, y, z) float32 on the file's grid."""
    save_image(nib.Nifti1Image(geometry.restore(values.astype(np.float32)), None), path, geometry)


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


def save_image(image: nib.Nifti1Image, path: Path, geometry: Geometry) -> None:
    """Write an image whose voxels are on the file's grid, with that grid's place in space."""
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
