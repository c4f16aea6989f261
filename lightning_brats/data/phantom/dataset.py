"""A whole phantom data set on disk: all of it or nothing, made once."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation

from lightning_brats.data.phantom.exam import Exam
from lightning_brats.data.phantom.layouts import LAYOUTS
from lightning_brats.data.phantom.patient import make_case
from lightning_brats.data.phantom.recipe import Recipe
from lightning_brats.data.phantom.scanner import STANDARD, Scanner
from lightning_brats.data.reading import write_mask
from lightning_brats.errors import DataError
from lightning_brats.labels import MODALITIES, SCHEMES

log = logging.getLogger(__name__)

RECORD = "phantom.json"
"""Parameters of the data set, in its root."""

_MOST_WORKERS = 4


def write_phantom(
    root: str | Path,
    layout: str = "brats2021",
    cases: int = 24,
    seed: int = 0,
    spacing: float = 2.0,
    scanner: Scanner | Mapping[str, float] = STANDARD,
    labelled: bool = True,
    workers: int | None = None,
) -> Path:
    """Write a data set, or return at once where it is already there.

    It is written beside `root` and renamed, so that `root` is complete or absent even if the
    process dies or another one writes the same.

    Args:
        root: Folder to be made.
        layout: One of `LAYOUTS`.
        cases: Examinations.
        seed: Of the data set.
        spacing: Edge of a voxel in mm; 1 gives BraTS' own grids.
        scanner: What measures, or its fields.
        labelled: Whether masks are written.
        workers: Threads; one a core, at most four, if `None`. Each needs 0.6 GB at 1 mm.

    Returns:
        The root, as a `Path`.

    Raises:
        ConfigError: A parameter is unknown or out of range.
        DataError: `root` holds something else.
    """
    recipe = Recipe(layout, cases, seed, spacing, Scanner.of(scanner), labelled)
    root = Path(root)
    if _is_written(root, recipe):
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    partial.chmod(0o755)  # mkdtemp makes it private
    try:
        _write_all(partial, recipe, workers or min(_MOST_WORKERS, os.cpu_count() or 1))
        try:
            partial.rename(root)
        except OSError:  # somebody else was quicker; theirs must be the same
            if not _is_written(root, recipe):
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return root


def _is_written(root: Path, recipe: Recipe) -> bool:
    """Whether the data set is there, complete.

    Raises:
        DataError: Something else is there.
    """
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    remedy = "name another folder, or delete this one"
    record = root / RECORD
    if not record.is_file():
        raise DataError("the folder is not empty and not a phantom", file=root, remedy=remedy)
    found, wanted = json.loads(record.read_text()), recipe.record
    volumes = found.pop("volumes", 0)
    changed = [key for key in {**found, **wanted} if found.get(key) != wanted.get(key)]
    if changed:
        differences = ", ".join(f"{k} {found.get(k)} instead of {wanted.get(k)}" for k in changed)
        raise DataError(
            f"the folder holds another phantom: {differences}", file=root, remedy=remedy
        )
    if (present := _count(root)) != volumes:
        raise DataError(
            f"{present} of the phantom's {volumes} volumes are left",
            file=root,
            remedy="delete the folder; it will be made again",
        )
    return True


def _count(root: Path) -> int:
    return sum(1 for path in root.rglob("*.nii*") if not path.name.startswith("."))


def _write_all(root: Path, recipe: Recipe, workers: int) -> None:
    layout = LAYOUTS[recipe.layout]
    exams = layout.exams(recipe.cases, recipe.labelled)
    log.info("making %d phantom cases; scores on them mean nothing clinically", len(exams))
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(_write_exam, root, recipe, exam) for exam in exams]
        for done, job in enumerate(as_completed(jobs), 1):
            log.info("phantom case %d of %d: %s", done, len(exams), job.result())
    layout.finish(root, [(exam, layout.files(exam)) for exam in exams])
    record = {**recipe.record, "volumes": _count(root)}
    (root / RECORD).write_text(json.dumps(record, indent=2))


def _write_exam(root: Path, recipe: Recipe, exam: Exam) -> str:
    layout = LAYOUTS[recipe.layout]
    case = make_case(
        exam.patient, recipe.seed, recipe.spacing, layout.postop, recipe.scanner, exam.visit
    )
    files = layout.files(exam)
    paths: dict[str, list[np.ndarray]] = {}
    for modality, path in files.images.items():
        paths.setdefault(path, []).append(case.image[MODALITIES.index(modality)])
    for path, channels in paths.items():
        data = channels[0] if len(channels) == 1 else np.stack(channels, -1)
        data, affine = _orient(data, case.affine, layout.orientation)
        image = nib.Nifti1Image(data, affine)
        image.set_qform(affine, code=1)
        image.set_sform(affine, code=1)
        image.header.set_xyzt_units("mm")
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        nib.save(image, root / path)
    if exam.labelled:
        mask, affine = _orient(case.mask, case.affine, layout.orientation)
        write_mask(root / files.mask, mask, affine, SCHEMES[layout.scheme])
    return files.case


def _orient(data: np.ndarray, affine: np.ndarray, axes: str) -> tuple[np.ndarray, np.ndarray]:
    """Flip and swap array axes to run as `axes` says, e.g. `RAS`; the voxels stay in place."""
    change = nib.orientations.ornt_transform(io_orientation(affine), axcodes2ornt(axes))
    return apply_orientation(data, change), affine @ inv_ornt_aff(change, data.shape[:3])
