"""Pictures of the best, median and worst case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lightning_brats.data.case import Case, Volume
from lightning_brats.data.reading import read_mask, read_native
from lightning_brats.errors import DataError
from lightning_brats.figures import case_panel, save_png
from lightning_brats.report.html import embedded
from lightning_brats.report.scores import HEADLINE_NAMES, Scored, Shown
from lightning_brats.report.wording import number

DPI = 120
ROLES = {"best": "Best case", "median": "Median case", "worst": "Worst case"}
PLAIN = "masks"
"""Stands for the modality where there are no images."""

Predicted = Callable[[Case, Volume], np.ndarray]
"""Reads a case's predicted labels (X, Y, Z), on the grid of its volume."""


@dataclass(frozen=True)
class Panel:
    """A written picture of a case.

    Args:
        shown: The case, and why it was chosen.
        png: The file.
        size: Width and height in pixels.
        note: What the reader should know of it.
    """

    shown: Shown
    png: Path
    size: tuple[int, int]
    note: str = ""


def write_panel(
    shown: Shown, case: Case, predicted: Predicted, figures: Path, note: str = ""
) -> Panel:
    """Draw a case into a folder of figures.

    Args:
        shown: Why it is drawn.
        case: Its files; one without images is drawn as outlines on black.
        predicted: Reads its prediction.
        figures: The folder.
        note: What the reader should know of the prediction.

    Raises:
        DataError: The case or its prediction cannot be read, or their grids differ.
    """
    volume = read_native(case) if case.images else _masks_alone(case)
    figure = case_panel(
        volume.image,
        tuple(case.images) or (PLAIN,),
        volume.mask,
        predicted(case, volume),
        volume.affine,
        f"{case.case}   mean {HEADLINE_NAMES[shown.metric]} {number(shown.mean)}",
        volume.brain,
    )
    width, height = (round(float(inches) * DPI) for inches in figure.get_size_inches())
    png = save_png(figure, figures / f"case_{shown.role}.png", DPI)
    return Panel(shown, png, (width, height), note)


def write_readable_panels(
    chosen: Sequence[Shown],
    cases: Mapping[str, Case],
    predicted: Predicted,
    figures: Path,
    notes: Mapping[str, str],
) -> list[Panel]:
    """Draw cases whose scores are known already: images that cannot be read are left out.

    The page then says so; arguments as in `write_panel`.
    """
    panels = []
    for shown in chosen:
        case, note = cases[shown.case], notes.get(shown.case, "")
        try:
            panels.append(write_panel(shown, case, predicted, figures, note))
        except DataError as error:
            bare = replace(case, images={}, brain=None)
            said = f"{note} The images cannot be shown: {error.problem}.".strip()
            panels.append(write_panel(shown, bare, predicted, figures, said))
    return panels


def described(panel: Panel, scored: Scored) -> dict[str, Any]:
    """What the page's template wants to know of a picture."""
    values = scored.table[scored.table["case"] == panel.shown.case]
    values = values.set_index(["metric", "region"])["value"]
    names = {"lesion_dice": "Lesion-wise Dice", "dice": "Dice", "hd95": "HD95 in mm"}
    texts = []
    for metric, name in names.items():
        if metric in values.index:
            found = ((r, values.get((metric, r), np.nan)) for r in scored.regions)
            texts.append(
                f"{name} "
                + ", ".join(f"{r} {number(v, 1 if metric == 'hd95' else 3)}" for r, v in found)
            )
    return {
        "role": ROLES.get(panel.shown.role, f"The only {scored.noun}"),
        "caption": f"{panel.shown.case}. {'. '.join(texts)}. {panel.note}".strip(),
        "alt": f"Slices of {panel.shown.case} with reference and prediction as contours, "
        "and close-ups of the voxels missed or false",
        "png": embedded(panel.png),
        "width": panel.size[0],
        "height": panel.size[1],
    }


def _masks_alone(case: Case) -> Volume:
    """The reference on black; the whole volume is shown, since nothing tells where the brain is."""
    assert case.mask is not None
    mask, affine = read_mask(case.mask, case.scheme, case.case)
    return Volume(np.zeros((1, *mask.shape), np.float32), affine, mask, np.ones(mask.shape, bool))
