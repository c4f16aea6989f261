"""Draw the pictures of metrics.md and bring its tables up to date: python docs/make_pictures.py."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from metric_scenes import MIDDLE, SCENES, Panel, Scene, empty_table, shown

from lightning_brats.evaluation.reliability import Calibration
from lightning_brats.figures.style import AGREEMENT, FALSE, GREY, INK, MISSED
from lightning_brats.metrics import METRICS
from lightning_brats.report.wording import heading

DOCS = Path(__file__).parent
PAGE = DOCS / "metrics.md"
MARK = "<!-- made by docs/make_pictures.py: {name} -->\n\n"
END = "\n\n<!-- end -->"
WIDTH, HEIGHT = 2.5, 2.7  # inches a panel
WHITE = "#FFFFFF"
COLOURS = ListedColormap([WHITE, MISSED, FALSE, AGREEMENT])
LEGEND = (
    (AGREEMENT, "both"),
    (MISSED, "missed: reference alone"),
    (FALSE, "false: prediction alone"),
)


def draw(scene: Scene) -> Figure:
    """Middle slices side by side, their values below."""
    count = len(scene.panels)
    figure = Figure((WIDTH * count, HEIGHT), facecolor=WHITE, layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)[0]
    for axis, panel in zip(axes, scene.panels, strict=True):
        _panel(axis, panel, scene.metrics)
    handles = [Patch(facecolor=colour, edgecolor=INK, lw=0.5) for colour, _ in LEGEND]
    texts = [text for _, text in LEGEND]
    figure.legend(handles, texts, loc="outside lower center", ncol=3, frameon=False, fontsize=7)
    return figure


def _panel(axis: Axes, panel: Panel, metrics: tuple[str, ...]) -> None:
    reference, prediction = (m[:, :, MIDDLE].T for m in (panel.reference, panel.prediction))
    kinds = reference + 2 * prediction.astype(int)
    axis.imshow(kinds, cmap=COLOURS, vmin=0, vmax=3, interpolation="nearest", origin="lower")
    if reference.any():
        axis.contour(reference, [0.5], colors=INK, linewidths=1)
    axis.add_patch(Rectangle((3, 2), 10, 0.6, color=INK))
    axis.text(8, 3.4, "10 mm", ha="center", va="bottom", fontsize=6, color=INK)
    axis.set_title(panel.title, fontsize=9, color=INK)
    axis.set_xlabel("\n".join(_lines(panel, metrics)), fontsize=8, color=INK)
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set_color(GREY)


def _lines(panel: Panel, metrics: tuple[str, ...]) -> list[str]:
    """The first three values that the panel has, with their units."""
    values = panel.values()
    known = [metric for metric in metrics if metric in values][:3]
    names = [heading(metric).partition(" (")[0] for metric in known]
    units = [METRICS[metric].unit for metric in known]
    texts = [shown(metric, values[metric]) for metric in known]
    return [" ".join(parts) for parts in zip(names, texts, units, strict=True)]


def voxels(sharper: float) -> Calibration:
    """100,000 voxels whose true probability is known, reported by a network that exaggerates.

    Args:
        sharper: Factor on the log-odds: 1 is honest, more is over-confident.
    """
    rng = np.random.default_rng(0)
    true = rng.uniform(0.02, 0.98, (100, 100, 10))
    odds = sharper * np.log(true / (1 - true))
    return Calibration.measure(1 / (1 + np.exp(-odds)), rng.random(true.shape) < true)


HONEST, BOLD = 1.0, 3.0


def calibration_text() -> str:
    """What metrics.md says of the picture."""
    honest, bold = (voxels(sharper).ece for sharper in (HONEST, BOLD))
    return (
        "![Observed frequency over stated probability: an honest network lies on the diagonal, an "
        "over-confident one crosses it in an S](pictures/calibration.svg)\n\n"
        f"Expected calibration error: honest {honest:.3f}, over-confident {bold:.3f}."
    )


def draw_calibration() -> Figure:
    """Reliability diagrams of an honest and an over-confident network."""
    figure = Figure((3.6, 3.3), facecolor=WHITE, layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color=GREY, lw=1)
    looks = ((HONEST, "honest", FALSE, "o"), (BOLD, "over-confident", "#D55E00", "s"))
    for sharper, name, colour, marker in looks:
        stated, observed, _ = voxels(sharper).curve()
        axis.plot(stated, observed, color=colour, marker=marker, ms=3.5, lw=1, label=name)
    axis.set(xlabel="stated probability", ylabel="share that is tumour", aspect="equal")
    axis.tick_params(labelsize=7)
    axis.legend(frameon=False, fontsize=8)
    return figure


def blocks() -> dict[str, str]:
    """Name of each made part of metrics.md → its text."""
    parts = {scene.name: scene.caption() for scene in SCENES}
    return parts | {"calibration": calibration_text(), "all": empty_table()}


def renewed(page: str) -> str:
    """The page with its made parts up to date.

    Raises:
        ValueError: A part has no place in the page.
    """
    for name, text in blocks().items():
        mark = MARK.format(name=name)
        pattern = re.escape(mark) + ".*?" + re.escape(END)
        page, found = re.subn(pattern, lambda _: mark + text + END, page, flags=re.DOTALL)  # noqa: B023
        if found != 1:
            raise ValueError(f"metrics.md has {found} places for {name}")
    return page


def main() -> None:
    """Write pictures and page."""
    mpl.rcParams.update({"svg.hashsalt": "lightning_brats", "svg.fonttype": "path"})
    figures = {scene.name: draw(scene) for scene in SCENES} | {"calibration": draw_calibration()}
    for name, figure in figures.items():
        path = DOCS / "pictures" / f"{name}.svg"
        figure.savefig(path, metadata={"Date": None})
        print(f"{path.relative_to(DOCS)}  {path.stat().st_size / 1000:.0f} kB")
    PAGE.write_text(renewed(PAGE.read_text()))


if __name__ == "__main__":
    main()
