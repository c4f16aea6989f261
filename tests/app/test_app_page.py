"""The app as a visitor meets it: a real server, a real small model, Debian's Chromium."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hostile_uploads import HOSTILE
from PIL import Image
from served_app import (
    CHROMIUM,
    MARKS,
    SLOWEST,
    Server,
    browser,
    case_files,
    open_page,
    ready,
    segmented,
    server,
    train,
    until,
    upload,
)

from lightning_brats.data.phantom import write_phantom

pytestmark = MARKS
REGIONS = ("#56B4E9", "#E69F00", "#D55E00")
WATCH_PROGRESS = """() => {
  const look = () => {
    window.progressSeen ||= document.querySelector('[data-testid="stProgress"]') !== null;
  };
  new MutationObserver(look).observe(document.body, {childList: true, subtree: true});
}"""


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page") / "phantom"
    return write_phantom(root, layout="brats2021", cases=6, spacing=6.0)


@pytest.fixture(scope="module")
def runs(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(phantom, tmp_path_factory.mktemp("work"))


def viewer_frame(page: Any) -> Any:
    return next(frame for frame in page.frames if "niivue" in frame.url)


def coloured(picture: bytes, colours: tuple[str, ...] = REGIONS) -> int:
    """Pixels whose hue is that of a region's colour: what is drawn is mixed with grey."""
    hsv = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB").convert("HSV"), int)
    count = 0
    for colour in colours:
        sample = Image.new("RGB", (1, 1), colour).convert("HSV").getpixel((0, 0))
        near = np.abs(hsv[..., 0] - sample[0]) < 6
        count += int((near & (hsv[..., 1] > 60) & (hsv[..., 2] > 60)).sum())
    return count


def test_from_upload_to_mask(open_page: Any, phantom: Path, server: Server, tmp_path: Path) -> None:
    page = open_page()
    page.evaluate(WATCH_PROGRESS)
    files = case_files(phantom)
    frame = segmented(page, files)
    assert page.evaluate("() => window.progressSeen")
    canvas = frame.locator("canvas")
    with_mask = coloured(canvas.screenshot())
    frame.locator("#shown").select_option("nothing")
    for button in ("WT", "TC", "ET"):
        frame.get_by_role("button", name=button, exact=True).click()
    page.wait_for_timeout(500)
    assert with_mask > 500
    assert coloured(canvas.screenshot()) < with_mask / 10

    with page.expect_download() as download:
        page.get_by_role("button", name="Download the mask (NIfTI)").click()
    mask = tmp_path / "segmentation.nii.gz"
    download.value.save_as(mask)
    made, source = nib.load(mask), nib.load(files[0])
    assert np.allclose(made.affine, source.affine)
    assert made.shape == source.shape
    values = np.asarray(made.dataobj)
    assert set(np.unique(values)) <= {0, 1, 2, 4}
    shown = page.get_by_test_id("stMetricValue").all_inner_texts()
    for text, labels in zip(shown, ((1, 2, 4), (1, 4), (4,)), strict=False):
        millilitres = np.isin(values, labels).sum() * 6.0**3 / 1000
        assert float(text.removesuffix(" ml")) == pytest.approx(millilitres, abs=0.06)
    header = made.header
    assert not any(header[name].tobytes().strip(b"\0") for name in ("descrip", "aux_file"))

    page.get_by_text("Against the reference").wait_for()
    page.get_by_text("Where it errs").wait_for()
    hosts = {re.sub(r"^\w+://([^/:]*).*", r"\1", url) for url in page.requests if "://" in url}
    assert hosts <= {"127.0.0.1"}, hosts  # nothing is fetched from elsewhere
    assert not [
        path for path in server.files() if "BraTS2021" in path.name and "raw" not in str(path)
    ]


def test_views_follow_their_controls(open_page: Any, phantom: Path) -> None:
    page = open_page()
    frame = segmented(page, case_files(phantom))
    canvas = frame.locator("canvas")
    full = coloured(canvas.screenshot())
    assert full > 200
    for button in frame.locator("#regions button").all():
        button.click()
    assert coloured(canvas.screenshot()) < 0.1 * full
    for button in frame.locator("#regions button").all():
        button.click()
    frame.locator("#contour").click()
    outlined = coloured(canvas.screenshot())
    assert 0 < outlined < full
    canvas.press("f")
    assert frame.locator("#fill").get_attribute("aria-pressed") == "true"
    before = canvas.screenshot()
    frame.locator("#modalities button").nth(2).click()
    assert canvas.screenshot() != before


WORST = [name for name in HOSTILE if name != "nothing"]


def test_broken_and_hostile_files_end_with_messages(open_page: Any, server: Server) -> None:
    page = open_page()
    page.get_by_text("A case's folder").wait_for()
    for name in WORST:
        make, words = HOSTILE[name]
        files = make()
        if any("/" in file.name or not file.name.isprintable() for file in files):
            continue  # no browser sends such names; the functions are tested with them
        if not any(file.name.endswith((".nii", ".gz", ".zip")) for file in files):
            continue  # the widget refuses other kinds itself
        page.goto(server.url)  # without the message before, which may read the same
        page.locator("input[type=file]").wait_for(state="attached")
        upload(page, files)
        alert = page.get_by_test_id("stAlert").filter(has_text=words[:1].upper() + words[1:])
        plain = page.get_by_test_id("stAlert").filter(has_text=words)
        alert.or_(plain).first.wait_for()
        until(server.is_alive, 60)
        assert str(server.folder) not in page.content()


def test_two_visitors_do_not_see_each_other(open_page: Any, phantom: Path) -> None:
    first, second = open_page(), open_page()
    upload(first, case_files(phantom, 0))
    upload(second, case_files(phantom, 1))
    for page in (first, second):
        page.get_by_role("button", name="Segment", exact=True).click()
    volumes = []
    for page in (first, second):
        ready(page)
        volumes.append(page.get_by_test_id("stMetricValue").all_inner_texts()[:3])
    assert volumes[0] != volumes[1]


def test_two_models_side_by_side(open_page: Any, phantom: Path) -> None:
    page = open_page()
    segmented(page, case_files(phantom))
    page.get_by_text("Compare", exact=True).click()
    page.get_by_text("Right", exact=True).wait_for()
    page.get_by_role("button", name="Compare", exact=True).last.click()
    frame = ready(page)
    assert frame.locator("canvas").count() == 2


def test_without_webgl_slices_are_shown_and_it_is_said(
    browser: Any, server: Server, phantom: Path
) -> None:
    plain = browser.browser_type.launch(
        executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-3d-apis"]
    )
    page = plain.new_page()
    page.set_default_timeout(SLOWEST)
    page.goto(server.url)
    page.locator("input[type=file]").wait_for(state="attached")
    upload(page, case_files(phantom))
    page.get_by_role("button", name="Segment", exact=True).click()
    page.get_by_test_id("stAlert").filter(has_text="cannot start").wait_for()
    page.get_by_test_id("stImage").wait_for()
    assert page.get_by_test_id("stImage").locator("img").count() == 1
    plain.close()


def test_files_go_with_their_visitor_and_with_the_app(
    runs: Path, browser: Any, phantom: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = Server(runs, tmp_path_factory.mktemp("leaving"))
    contexts = [browser.new_context(), browser.new_context()]
    for context in contexts:
        page = context.new_page()
        page.goto(server.url)
        page.locator("input[type=file]").wait_for(state="attached", timeout=SLOWEST)
        upload(page, case_files(phantom))
    until(lambda: len(server.files()) >= 20)  # of each visitor what was given, and a clean copy
    both = len(server.files())
    contexts[0].close()
    until(lambda: len(server.files()) <= both / 2, 150)
    server.stop()
    contexts[1].close()
    # torch leaves an empty cache of its compiler in any process's temporary folder.
    left = [path for path in server.folder.rglob("*") if "torchinductor" not in str(path)]
    assert not left
