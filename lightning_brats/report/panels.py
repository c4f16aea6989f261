"""The run's pictures: the best, median and worst case, learning curves, scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lightning_brats.data.case import Case, read_case, read_mask
from lightning_brats.errors import DataError
from lightning_brats.figures import case_panel, save_png
from lightning_brats.figures.plots import learning_curves, score_strips
from lightning_brats.report.run import Run
from lightning_brats.report.scores import Shown, shown_cases
from lightning_brats.report.wording import number

DPI = 120


@dataclass(frozen=True)
class Panel:
    """A written picture of a case.

    Args:
        shown: The case, and why it was chosen.
        png: The file.
        size: Width and height in pixels.
    """

    shown: Shown
    png: Path
    size: tuple[int, int]


def write_panels(run: Run, cases: Mapping[str, Case]) -> list[Panel]:
    """Draw the chosen cases into the run's `figures/`.

    Raises:
        DataError: A case or its prediction is not there, or their grids differ.
    """
    return [_write_panel(run, shown, cases) for shown in shown_cases(run.scores)]


def write_stills(run: Run) -> dict[str, Path]:
    """Learning curves and scores as PNG, for papers and for paper."""
    folder = run.path / "figures"
    return {
        "curves": save_png(learning_curves(run.history), folder / "learning_curves.png", DPI),
        "scores": save_png(score_strips(run.scores, run.regions), folder / "scores.png", DPI),
    }


def _write_panel(run: Run, shown: Shown, cases: Mapping[str, Case]) -> Panel:
    case = cases.get(shown.case)
    if case is None:
        raise DataError(
            "the case was scored but is not among the cases given",
            case=shown.case,
            file=run.path / "evaluation.csv",
            remedy="report the run with the data set it was tested on",
        )
    volume = read_case(case)
    path = run.prediction(case.case)
    prediction, _ = read_mask(path, case.scheme, case.case)
    if prediction.shape != volume.image.shape[1:]:
        raise DataError(
            f"the prediction has shape {prediction.shape}, the image {volume.image.shape[1:]}",
            case=case.case,
            file=path,
            remedy="predict the case again",
        )
    figure = case_panel(
        volume.image,
        tuple(case.images),
        volume.mask,
        prediction,
        volume.affine,
        f"{case.case}   mean Dice {number(shown.mean_dice)}",
        volume.brain,
    )
    width, height = (round(float(inches) * DPI) for inches in figure.get_size_inches())
    png = save_png(figure, run.path / "figures" / f"case_{shown.role}.png", DPI)
    return Panel(shown, png, (width, height))
