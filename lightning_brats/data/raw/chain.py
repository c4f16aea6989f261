"""A case as the scanner stored it → arrays on one grid.

All that moves voxels is linear, and every scan is interpolated once, from its own voxels to the
wanted ones. `world` always leads from the coordinates of the wanted grid to the centre modality's.

Shapes: `C` modalities, `X Y Z` voxels of the wanted grid.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lightning_brats.data.case import Case, Native, Volume
from lightning_brats.data.raw.atlas import template
from lightning_brats.data.raw.brain import extract_brain
from lightning_brats.data.raw.exam import Exam, Labels, Shape, centre_of, isotropic, read_exam
from lightning_brats.data.raw.intensity import correct_bias, denoise
from lightning_brats.data.raw.quality import POOR_ATLAS
from lightning_brats.data.raw.registration import register
from lightning_brats.data.raw.scan import Scan, bring, one_thread
from lightning_brats.data.raw.steps import BrainSource, RawSteps
from lightning_brats.data.reading import read_case
from lightning_brats.errors import DataError

Grid = tuple[Shape, np.ndarray]


def read_raw(
    case: Case, spacing: float | None, brain: BrainSource | None, steps: RawSteps
) -> Volume:
    """Read a case and take it through the chosen steps.

    Args:
        case: Its modalities may lie on different grids where `register`, `atlas` or `spacing`
            resamples them.
        spacing: Edge of the wanted voxels in mm; `None` for those of the files, or 1 in an atlas.
        brain: Where the brain mask comes from; see `Preprocess`.
        steps: What else is done.

    Raises:
        DataError: A file cannot be used, or registration failed and that is an error.
        ConfigError: The modality in the centre is not among the case's.
    """
    source: BrainSource = brain or ("provided" if case.brain else "nonzero")
    with one_thread():
        if spacing is None and not steps.moves:
            volume = _in_place(case, source, steps)
        else:
            volume = _resampled(read_exam(case, steps), spacing, source, steps)
        if volume.warnings and steps.on_poor_registration == "error":
            raise _failed(case, volume.warnings)
        if steps.bias and volume.brain.any():
            for channel in volume.image:
                scan = Scan(channel, volume.affine)
                channel[...] = correct_bias(scan, volume.brain, case.case)
    return volume


def _in_place(case: Case, brain: BrainSource, steps: RawSteps) -> Volume:
    """The files' own grid, which must be one."""
    volume = read_case(case if brain == "provided" else replace(case, brain=None))
    if steps.denoise:
        for channel in volume.image:
            scan = Scan(channel.copy(), volume.affine)
            channel[...] = denoise(scan, steps.denoise, steps.strength).data
    if brain != "extract":
        return volume
    names = list(case.images)
    centre = volume.image[names.index(centre_of(case.case, names, steps))]
    found = extract_brain(Scan(centre, volume.affine))
    return replace(volume, brain=found.mask, warnings=found.warnings)


def _resampled(exam: Exam, spacing: float | None, source: BrainSource, steps: RawSteps) -> Volume:
    """Another grid; or that of the masks, with the other scans brought to it."""
    warnings = exam.warnings
    brain = None
    if source == "provided":
        brain = exam.given_brain()
    elif source == "extract":
        found = extract_brain(exam.scans[exam.centre])
        brain = exam.placed(found.mask, exam.scans[exam.centre].affine)
        warnings += found.warnings
    world = np.eye(4)
    if steps.atlas:
        world, poor = _to_atlas(exam, brain, steps.atlas)
        warnings += poor
    mask = exam.mask()
    centre = exam.scans[exam.centre]
    home = mask or exam.placed(centre.data, centre.affine)
    native = Native(_shape(home.data), home.affine, home.matrix @ world)
    grid: Grid
    if spacing is None and not steps.atlas:
        # The masks' own voxels: the way back is exact.
        grid, world = (native.shape, native.affine), np.linalg.inv(home.matrix)
    else:
        grid = isotropic(template() if steps.atlas else centre, spacing or _edge(centre, steps))
    image, inside = _interpolated(exam, brain, grid, world)
    return Volume(
        image,
        grid[1],
        None if mask is None else mask.at(*grid, world),
        inside,
        tuple(warnings),
        None if spacing is None and not steps.atlas else native,
    )


def _interpolated(
    exam: Exam, brain: Labels | None, grid: Grid, world: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Every scan (C, X, Y, Z), and the brain (X, Y, Z): without a mask, what is not 0."""
    images, shares = [], []
    for modality, scan in exam.scans.items():
        matrix = exam.alignments[modality].matrix @ world
        image = bring(scan, *grid, matrix)
        if brain is None:
            share = bring(Scan((scan.data != 0).astype(np.float32), scan.affine), *grid, matrix)
            # Divided by the share of brain, or the edge would be half as bright as it is.
            image = np.where(share > 0.5, image / np.maximum(share, 0.5), 0)
            shares.append(share)
        images.append(image)
    if brain is None:
        return np.stack(images), np.max(shares, axis=0) > 0.5
    return np.stack(images), brain.at(*grid, world)


def _to_atlas(exam: Exam, brain: Labels | None, kind: str) -> tuple[np.ndarray, list[str]]:
    """World of the template → world of the centre, and whether that is doubtful."""
    centre = exam.scans[exam.centre]
    if brain is not None:  # the template has no skull
        inside = brain.at(_shape(centre.data), centre.affine, np.eye(4))
        centre = Scan(np.where(inside, centre.data, 0), centre.affine)
    found = register(template(), centre, "affine" if kind == "affine" else "rigid")
    if found.quality >= POOR_ATLAS:
        return found.matrix, []
    quality = f"(quality {found.quality:.2f}, below {POOR_ATLAS})"
    return found.matrix, [f"registration of {exam.centre} to the atlas is poor {quality}"]


def _edge(centre: Scan, steps: RawSteps) -> float:
    return 1.0 if steps.atlas else float(centre.spacing.min())


def _shape(data: np.ndarray) -> Shape:
    x, y, z = data.shape
    return x, y, z


def _failed(case: Case, warnings: tuple[str, ...]) -> DataError:
    return DataError(
        "; ".join(warnings),
        case=case.case,
        file=case.files[0],
        remedy="look at the scans (wrong patient, wrong series, little overlap?), exclude the "
        "case, or go on with a warning: preprocess.raw.on_poor_registration=flag",
    )
