"""Pictures and numbers of the page on metrics."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import numpy as np
import pytest
from doc_pages import DOCS

from lightning_brats.metrics import METRICS

PAGE = (DOCS / "metrics.md").read_text()


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """docs/make_pictures.py."""
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module("make_pictures")
    finally:
        sys.path.remove(str(DOCS))


def test_the_numbers_of_the_page_are_what_the_code_computes(made: ModuleType) -> None:
    assert made.renewed(PAGE) == PAGE, "run python docs/make_pictures.py"


def test_every_metric_is_explained() -> None:
    text = PAGE.split("## All metrics in one table")[0].lower()
    for name in METRICS:
        words = name.replace("_", " ").replace("nsd ", "nsd_")
        assert f"`{name}`" in PAGE
        assert any(word in text for word in (words, name, *words.split())), name


def test_every_picture_is_there_and_small(made: ModuleType) -> None:
    names = [*(scene.name for scene in made.SCENES), "calibration"]
    for name in names:
        picture = DOCS / "pictures" / f"{name}.svg"
        assert picture.stat().st_size < 100_000
        assert f"pictures/{name}.svg" in PAGE


def test_the_drawing_shows_both_masks(made: ModuleType) -> None:
    """Of the ball 3 mm off: grey, yellow and blue voxels as many as in the middle slice."""
    scene = next(scene for scene in made.SCENES if scene.name == "overlap")
    figure = made.draw(scene)
    drawn = figure.axes[0].images[0].get_array()
    panel = scene.panels[0]
    first, second = (m[:, :, made.MIDDLE] for m in (panel.reference, panel.prediction))
    counts = [int((drawn == kind).sum()) for kind in (1, 2, 3)]
    assert counts == [(first & ~second).sum(), (~first & second).sum(), (first & second).sum()]


def test_numbers_that_can_be_worked_out_by_hand(made: ModuleType) -> None:
    """Two balls of one size 3 mm apart: spherical caps give the overlap."""
    scene = next(scene for scene in made.SCENES if scene.name == "overlap")
    for panel, radius in zip(scene.panels, (12, 4), strict=True):
        share = 1 - 3 * 3 / (4 * radius) + 3**3 / (16 * radius**3)
        assert panel.values()["dice"] == pytest.approx(share, abs=0.02)
        assert panel.values()["hd95"] == pytest.approx(
            0.95 * 3, abs=0.5
        )  # area is uniform along the axis


def test_calibration_is_what_was_put_in(made: ModuleType) -> None:
    """An honest network errs by chance alone; the other one by its mean exaggeration."""
    true = np.linspace(0.02, 0.98, 100_001)
    odds = made.BOLD * np.log(true / (1 - true))
    expected = np.abs(1 / (1 + np.exp(-odds)) - true).mean()
    assert made.voxels(made.HONEST).ece < 0.01
    assert made.voxels(made.BOLD).ece == pytest.approx(expected, abs=0.01)
