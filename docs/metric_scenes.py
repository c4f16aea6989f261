"""Made-up masks on which a reader sees what a metric says; the pictures and tables of metrics.md.

Every number is what `lightning_brats.metrics` computes on them. Voxels are 1 mm; shapes: `X Y Z`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lightning_brats.labels import SNFH
from lightning_brats.metrics import METRICS, score_case
from lightning_brats.report.wording import MISSING, heading, number

SHAPE = (72, 48, 40)
MIDDLE = 20
"""Index of the slice that is drawn; all balls are centred on it."""
COUNTS = ("_tp", "_fp", "_fn")


@dataclass(frozen=True)
class Panel:
    """One reference and one prediction.

    Args:
        title: What is different here.
        reference: (X, Y, Z) bool.
        prediction: (X, Y, Z) bool.
        protocol: Scored by.
    """

    title: str
    reference: np.ndarray
    prediction: np.ndarray
    protocol: str = "legacy"

    def values(self) -> Mapping[str, float]:
        """Every metric of the protocol. The masks are scored as one region, whole tumour."""
        labels = (mask.astype(np.uint8) * SNFH for mask in (self.reference, self.prediction))
        return score_case(*labels, protocol=self.protocol, regions=["WT"])["WT"]


@dataclass(frozen=True)
class Scene:
    """Panels side by side, and the metrics that they explain.

    Args:
        name: Of the picture's file.
        alt: What a person who cannot see it has to know.
        metrics: Columns of the table.
        panels: From left to right.
    """

    name: str
    alt: str
    metrics: tuple[str, ...]
    panels: tuple[Panel, ...]

    def table(self) -> str:
        """Markdown, a row a panel."""
        heads = ["", *(heading(metric) for metric in self.metrics)]
        lines = [heads, ["---", *["---:"] * len(self.metrics)]]
        for panel in self.panels:
            values = panel.values()
            texts = [shown(metric, values.get(metric)) for metric in self.metrics]
            lines.append([panel.title, *texts])
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def caption(self) -> str:
        """What metrics.md holds of the scene."""
        return f"![{self.alt}](pictures/{self.name}.svg)\n\n{self.table()}"


def shown(metric: str, value: float | None) -> str:
    """A value with the decimals that it deserves."""
    if value is None:
        return MISSING
    whole = metric.endswith(COUNTS)
    return number(value, 0 if whole else 1 if METRICS[metric].unit else 3)


def ball(x: float, radius: float, y: float = 24) -> np.ndarray:
    """(X, Y, Z) bool, all voxels within `radius` of a centre in the middle slice."""
    grid = np.indices(SHAPE)
    centre = np.array([x, y, MIDDLE])[:, None, None, None]
    return ((grid - centre) ** 2).sum(0) <= radius**2


def half(mask: np.ndarray, start: int, stop: int) -> np.ndarray:
    """The part of a mask between two positions on the first axis."""
    part = np.zeros_like(mask)
    part[start:stop] = mask[start:stop]
    return part


NOTHING = np.zeros(SHAPE, bool)
LARGE, SMALL = ball(24, 11), ball(52, 4)
TUMOURS = LARGE | SMALL
GLI23, GLI24, GLI26 = "brats2023-gli", "brats2024-gli", "brats2026-gli"
LESION = ("dice", "lesion_dice", "lesion_hd95", "lesion_tp", "lesion_fp", "lesion_fn")

SCENES = (
    Scene(
        "overlap",
        "A large and a small ball, both predicted 3 mm too far to the right",
        ("dice", "iou", "hd95"),
        (
            Panel("large, 3 mm off", ball(34, 12), ball(37, 12)),
            Panel("small, 3 mm off", ball(34, 4), ball(37, 4)),
        ),
    ),
    Scene(
        "size",
        "A ball predicted too small, right and too large",
        ("dice", "sensitivity", "precision", "volume_error", "volume_error_abs"),
        (
            Panel("too small", ball(34, 12), ball(34, 10)),
            Panel("right", ball(34, 12), ball(34, 12)),
            Panel("too large", ball(34, 12), ball(34, 14)),
        ),
    ),
    Scene(
        "place",
        "A ball predicted in another place, and a ball that is not predicted at all",
        ("dice", "accuracy", "specificity", "volume_error"),
        (
            Panel("elsewhere", ball(20, 8), ball(50, 8)),
            Panel("nothing found", ball(34, 8), NOTHING),
        ),
    ),
    Scene(
        "distance",
        "A ball predicted exactly, with a tiny and with a larger speck far away",
        ("dice", "hd95", "nsd_1.0"),
        (
            Panel("tiny speck", ball(24, 12), ball(24, 12) | ball(56, 1)),
            Panel("larger speck", ball(24, 12), ball(24, 12) | ball(56, 4)),
        ),
    ),
    Scene(
        "tolerance",
        "A ball predicted 1 mm off, 2 mm off, and with a bulge on one side",
        ("dice", "hd95", "nsd_0.5", "nsd_1.0"),
        (
            Panel("1 mm off", ball(34, 12), ball(35, 12)),
            Panel("2 mm off", ball(34, 12), ball(36, 12)),
            Panel("a bulge", ball(34, 12), ball(34, 12) | ball(45, 6)),
        ),
    ),
    Scene(
        "lesions",
        "A large and a small lesion: both found, the small one missed, and one more invented",
        LESION,
        (
            Panel("both found", TUMOURS, TUMOURS, GLI23),
            Panel("small one missed", TUMOURS, LARGE, GLI23),
            Panel("one invented", TUMOURS, TUMOURS | ball(52, 2, 38), GLI23),
        ),
    ),
    Scene(
        "joined",
        "Two parts of a tumour, close together and far apart; only the left one is predicted",
        LESION,
        (
            Panel("gap of 4 mm: one lesion", ball(22, 7) | ball(41, 7), ball(22, 7), GLI23),
            Panel("gap of 16 mm: two lesions", ball(22, 7) | ball(53, 7), ball(22, 7), GLI23),
        ),
    ),
    Scene(
        "threshold",
        "A large lesion and a missed one, which is once below and once above 50 mm³",
        LESION,
        (
            Panel("missed: 33 mm³", LARGE | ball(52, 2), LARGE, GLI23),
            Panel("missed: 123 mm³", LARGE | ball(52, 3), LARGE, GLI23),
        ),
    ),
    Scene(
        "protocols",
        "One lesion predicted exactly and a speck of seven voxels beside it, by three protocols",
        ("dice", "lesion_dice", "lesion_fp", "instance_fp", "instance_f1"),
        tuple(Panel(p, LARGE, LARGE | ball(52, 1), p) for p in (GLI23, GLI24, GLI26)),
    ),
    Scene(
        "split",
        "One lesion, predicted as two halves with a gap between them, under two protocols",
        (
            "dice",
            "lesion_tp",
            "lesion_fp",
            "lesion_dice",
            "instance_tp",
            "instance_fp",
            "instance_f1",
        ),
        tuple(
            Panel(p, ball(34, 12), half(ball(34, 12), 0, 34) | half(ball(34, 12), 36, 60), p)
            for p in (GLI23, GLI26)
        ),
    ),
    Scene(
        "empty",
        "Both masks empty, only the prediction holding something, only the reference",
        ("dice", "hd95", "nsd_1.0", "sensitivity", "precision", "volume_error"),
        (
            Panel("both empty", NOTHING, NOTHING),
            Panel("reference empty", NOTHING, ball(34, 6)),
            Panel("prediction empty", ball(34, 6), NOTHING),
        ),
    ),
)


def empty_table() -> str:
    """Markdown: what every metric is where masks are empty, and which direction is better."""
    lines = ["| metric | what it is | better | both empty | reference empty | prediction empty |"]
    lines.append("| --- | --- | --- | ---: | ---: | ---: |")
    better = {True: "higher", False: "lower", None: MISSING}
    for name, metric in METRICS.items():
        ends = (metric.both_empty, metric.reference_empty, metric.prediction_empty)
        unit = f" ({metric.unit})" if metric.unit else ""
        cells = [f"`{name}`", metric.description + unit, better[metric.higher_is_better]]
        lines.append(f"| {' | '.join([*cells, *(number(end, 0) for end in ends)])} |")
    return "\n".join(lines)
