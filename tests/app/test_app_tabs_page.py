"""The parts beside Segment and Compare as a visitor meets them: each shows what it promises."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served_app import MARKS, ROOT, SLOWEST, browser, open_page, server, train, until

from lightning_brats.data.phantom import write_phantom

pytestmark = MARKS


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trained runs, and a comparison of them beside their folder."""
    folder = tmp_path_factory.mktemp("work")
    phantom = write_phantom(folder / "phantom", layout="brats2021", cases=6, spacing=6.0)
    runs = train(phantom, folder)
    named = f"runs=[{runs / 'better'},{runs / 'poorer'}]"
    differing = "on_mismatch=warn"  # epochs
    subprocess.run(
        [sys.executable, ROOT / "experiments/compare.py", named, differing, "output=comparison"],
        cwd=folder,
        env={**os.environ, "LIGHTNING_BRATS_CACHE": str(folder / "cache")},
        check=True,
        capture_output=True,
        timeout=300,
    )
    return runs


def go(page: Any, part: str) -> None:
    page.get_by_text(part, exact=True).first.click()


def with_example(page: Any) -> Any:
    page.get_by_text("The built-in example", exact=True).click()
    page.get_by_role("button", name="Use the example").click()
    segment = page.get_by_role("button", name="Segment", exact=True).last
    until(segment.is_enabled, SLOWEST / 1000)
    return page


def images_of(page: Any, number: int) -> Any:
    """The pictures of a part, once there are so many, all loaded."""
    images = page.get_by_test_id("stImage").locator("img")
    until(lambda: images.count() >= number, SLOWEST / 1000)
    for place in range(number):
        images.nth(place).evaluate("image => image.decode()")
    return images


def assert_drawn(picture: bytes) -> None:
    """More than an empty canvas: of some size, and not of one colour."""
    grey = np.asarray(Image.open(io.BytesIO(picture)).convert("L"), float)
    assert min(grey.shape) > 100
    assert grey.std() > 10
    assert len(np.unique(grey)) > 20


def test_augment_shows_a_transform_and_obeys_its_controls(open_page: Callable[..., Any]) -> None:
    page = open_page()
    go(page, "Augment")
    page.get_by_text("Give scans in the part").first.wait_for()
    go(page, "Segment")
    go(with_example(page), "Augment")
    page.get_by_text("Degrees about each axis").first.wait_for()
    image = images_of(page, 1).first
    assert_drawn(image.screenshot())
    before = image.get_attribute("src")
    page.get_by_role("slider").last.press("ArrowRight")
    until(lambda: image.get_attribute("src") != before, SLOWEST / 1000)
    assert_drawn(images_of(page, 1).first.screenshot())


def test_explain_names_a_modality_and_shows_maps(open_page: Callable[..., Any]) -> None:
    pytest.importorskip("captum")
    page = open_page()
    go(with_example(page), "Explain")
    page.get_by_text("Region", exact=True).first.wait_for()
    page.get_by_role("button", name="Explain", exact=True).last.click()
    verdict = re.compile("depends most on|No single modality changes")
    page.get_by_text(verdict).first.wait_for()
    images = images_of(page, 2)
    for place in range(2):
        assert_drawn(images.nth(place).screenshot())
    page.get_by_text("Grad-CAM").first.wait_for()
    page.get_by_text("Integrated gradients, from the blurred image").first.wait_for()
    page.get_by_text("What each modality contributed").click()
    page.get_by_test_id("stDataFrame").wait_for()


def test_follow_up_says_what_became_of_a_tumour(open_page: Callable[..., Any]) -> None:
    page = open_page()
    go(page, "Follow-up")
    page.get_by_role("button", name="Use the built-in example").click()
    page.get_by_text("BraTS-GLI-00000-101: date, if known").first.wait_for()
    page.get_by_role("button", name="Compare the examinations").click()
    page.get_by_text(re.compile(r"ET grew from [\d.]+ to [\d.]+ ml \(\+\d+ %\)")).first.wait_for()
    for name in ("Whole tumour", "Tumour core", "Resection cavity"):
        page.get_by_text(name).first.wait_for()
    images = images_of(page, 2)
    for place in range(2):
        assert_drawn(images.nth(place).screenshot())
    page.get_by_test_id("stDataFrame").wait_for()


def test_study_shows_the_report_of_a_comparison(open_page: Callable[..., Any]) -> None:
    page = open_page()
    go(page, "Study")
    page.get_by_role("button", name="Download").wait_for()
    frame = page.frame_locator("iframe[srcdoc]")
    for name in ("better", "poorer"):
        frame.get_by_text(name).first.wait_for()
    drawn = frame.locator("figure.plot:visible").first
    drawn.scroll_into_view_if_needed()
    drawn.locator("svg:visible, img:visible").first.wait_for()
    assert_drawn(drawn.screenshot())
