"""The page, the table and the record of small made-up data sets, read back."""

from __future__ import annotations

import base64
import csv
import io
import json
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.image as mpimg
import numpy as np
import pytest
from made_cases import Made, write

from lightning_brats import __version__
from lightning_brats.audit import page as page_module
from lightning_brats.audit import write_audit
from lightning_brats.audit.thumbnails import GAP, HEIGHT, thumbnail
from lightning_brats.data.cache import Cache
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.errors import DataError
from lightning_brats.preparation import fingerprint

NASTY = "x</script><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Tags with their attributes, and the text outside scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None and data.strip():
            self.text += " ".join(data.split()) + " "

    @property
    def sections(self) -> list[str | None]:
        return [attrs.get("id") for tag, attrs in self.tags if tag == "section" and "id" in attrs]

    @property
    def pictures(self) -> list[str]:
        return [str(attrs["src"]) for tag, attrs in self.tags if tag == "img"]


def two_cohorts() -> list[Made]:
    """Two cohorts, a copy between them, a case without tumour, one without a mask."""
    cases = [Made("a0", look=1), Made("a1", "p"), Made("a2", "p"), Made("empty", tumour=())]  # type: ignore[arg-type]
    return [*cases, Made("b0", cohort="B", look=1), Made("b1", cohort="B", tumour=None)]


def excluded() -> list[DataError]:
    return [DataError("t1c holds NaN", case="bad", file="/data/bad.nii.gz", remedy="repair it")]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    entries = [write(folder / "cache", made) for made in two_cohorts()]
    page = write_audit(folder / "new" / "out", "Two <b>cohorts</b>", entries, excluded())
    assert page == folder / "new" / "out" / "audit.html"
    return page.parent


@pytest.fixture(scope="module")
def page(output: Path) -> Page:
    return Page((output / "audit.html").read_text(encoding="utf-8"))


def test_words_of_the_page(page: Page) -> None:
    for words in (
        "Two <b>cohorts</b>",
        "6 cases of 5 patients from 2 cohorts can be used; 1 had to be left out. 3 cases deserve",
        "1 pair of different patients has near-identical images.",
        "1 case without a mask: only to be predicted.",
        "1 to 2; 1 patient with several",
        "t1c holds NaN",
        "/data/bad.nii.gz",
        "repair it",
        "the mask has no tumour",
        "near-identical images: b0",
        "1 NETC, 2 SNFH, 3 ET",
        "20×22×18",
        "For research only.",
    ):
        assert words in page.text, words


def test_sections_and_pictures(page: Page) -> None:
    assert page.sections == [
        *("data", "excluded", "flags", "pairs", "volumes", "intensities", "grids", "sample"),
        "checks",
    ]
    # Three flagged cases, one pair, three others.
    assert len(page.pictures) == 3 + 2 + 3
    assert all(src.startswith("data:image/jpeg;base64,") for src in page.pictures)
    linked = [str(a["href"])[1:] for tag, a in page.tags if tag == "a"]
    assert linked == page.sections


def test_tiles(page: Page) -> None:
    labels = [attrs["data-tile"] for _, attrs in page.tags if "data-tile" in attrs]
    assert labels == ["Cases", "With a mask", "To look at", "Near-identical", "Left out"]
    for words in (
        "Cases 6 of 5 patients",
        "With a mask 5 1 without",
        "Near-identical 2 in 1 group",
    ):
        assert words in page.text, words


def test_nothing_is_loaded_from_elsewhere(output: Path, page: Page) -> None:
    links = [attrs[name] for _, attrs in page.tags for name in ("src", "href") if name in attrs]
    assert all(str(link).startswith(("data:image/", "#")) for link in links)
    html = (output / "audit.html").read_text(encoding="utf-8")
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "Plotly" not in html


def test_one_row_a_case(output: Path) -> None:
    with (output / "audit.csv").open(encoding="utf-8") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["a0", "a1", "a2", "empty", "b0", "b1", "bad"]
    assert {row["status"] for name, row in rows.items() if name != "bad"} == {"used"}
    assert rows["bad"]["status"] == "excluded"
    assert rows["bad"]["look"] == "t1c holds NaN (/data/bad.nii.gz)"
    assert (rows["a0"]["near_identical_to"], rows["b0"]["near_identical_to"]) == ("b0", "a0")
    assert rows["a1"]["near_identical_to"] == rows["a1"]["look"] == ""
    assert rows["empty"]["look"] == "tumour: the mask has no tumour"
    assert (rows["b1"]["labelled"], rows["b1"]["WT_ml"]) == ("False", "")
    assert float(rows["a1"]["WT_ml"]) > float(rows["a1"]["ET_ml"]) > 0


def test_the_record(output: Path) -> None:
    record = json.loads((output / "dataset.json").read_text(encoding="utf-8"))
    assert record["name"] == "Two <b>cohorts</b>"
    assert (record["cases"], record["patients"], record["labelled"]) == (6, 5, 5)
    assert record["cohorts"] == {
        "A": {"cases": 4, "patients": 3, "labelled": 4},
        "B": {"cases": 2, "patients": 2, "labelled": 1},
    }
    assert record["modalities"] == ["t1n", "t1c", "t2w", "t2f"]
    assert record["regions"] == ["WT", "TC", "ET"]
    assert record["codings"] == {"1 NETC, 2 SNFH, 3 ET": 5}
    assert record["cases_a_patient"] == {"1": 4, "2": 1}
    assert record["flags"] == {"look": {"duplicate": 2, "tumour": 1}, "notes": {}}
    (pair,) = record["near_identical"]
    assert (pair["first"], pair["second"], pair["same_patient"]) == ("a0", "b0", False)
    assert record["excluded"][0]["problem"] == "t1c holds NaN"
    assert record["lightning_brats"] == __version__
    assert record["created"].startswith("20")


def test_the_fingerprint_is_the_one_of_runs(tmp_path: Path) -> None:
    from conftest import write_case

    cases = [write_case(tmp_path / "data", f"case_{i}", f"p{i % 2}", seed=i) for i in range(3)]
    cache = Cache(tmp_path / "cache", Preprocess())
    entries = cache.prepare(cases).entries
    write_audit(tmp_path, "x", list(entries)[::-1])
    record = json.loads((tmp_path / "dataset.json").read_text())
    assert record["fingerprint"] == fingerprint(cases, cache)


@pytest.mark.parametrize(
    ("made", "absent", "words"),
    [
        ([Made("a")], {"excluded", "flags", "pairs"}, "1 case can be used. No case looks"),
        (
            [Made("a", tumour=None, cohort=""), Made("b", tumour=None, cohort="")],
            {"excluded", "flags", "pairs", "volumes"},
            "2 cases without a mask",
        ),
        ([Made("a", look=1), Made("b", look=1)], {"excluded", "sample"}, "2 cases deserve a look"),
        (
            [Made("a", modalities=("t2f",)), Made("b", modalities=("t1c", "adc"))],
            set(),
            "2 sets of",
        ),
        ([Made(NASTY, cohort=NASTY)], {"flags"}, NASTY),
    ],
)
def test_other_data_sets(tmp_path: Path, made: list[Made], absent: set[str], words: str) -> None:
    entries = [write(tmp_path / "cache", one) for one in made]
    page = Page(write_audit(tmp_path, "x", entries).read_text(encoding="utf-8"))
    assert words in page.text
    assert not absent & set(page.sections)
    assert not [attrs for _, attrs in page.tags if "onerror" in attrs]
    assert page.pictures


def test_a_data_set_of_which_nothing_is_left(tmp_path: Path) -> None:
    page = Page(write_audit(tmp_path, "x", [], excluded()).read_text(encoding="utf-8"))
    assert page.sections == ["data", "excluded", "checks"]
    assert "No case can be used; 1 case had to be left out." in page.text
    assert json.loads((tmp_path / "dataset.json").read_text())["cases"] == 0


def test_the_page_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PICTURED", 2), ("PAIRS", 1), ("SAMPLE", 2), ("LISTED", 3)):
        monkeypatch.setattr(page_module, name, value)
    made = [Made(f"e{i}", tumour=()) for i in range(4)]  # type: ignore[arg-type]
    made += [Made(f"c{i}", look=i // 2) for i in range(4)] + [Made(f"f{i}") for i in range(3)]
    entries = [write(tmp_path / "cache", one) for one in made]
    errors = [DataError("bad", case=f"x{i}") for i in range(5)]
    page = Page(write_audit(tmp_path, "x", entries, errors).read_text(encoding="utf-8"))
    assert len(page.pictures) == 2 + 2 + 2
    for words in ("The first 3 of 5;", "5 more cases have flags;", "The first 1 of 2 pairs;"):
        assert words in page.text, words


def test_a_thumbnail(tmp_path: Path) -> None:
    entry = write(tmp_path, Made("a", spacing=(6, 6, 12)))
    found = thumbnail(entry)
    content = base64.b64decode(found.source.partition(",")[2])
    picture = mpimg.imread(io.BytesIO(content), format="jpeg")
    assert picture.shape == (found.height, found.width, 3)
    x, y, z = entry.shape
    panel = round(HEIGHT * x / y)
    assert found.width == 4 * panel + 3 * GAP
    assert entry.mask is not None
    widest = int(np.isin(entry.mask, (1, 2, 3)).sum((0, 1)).argmax())
    assert found.share == (widest + 0.5) / z
    # The blue contour runs around the mask; the prepared axes point right and forward, the
    # picture's left and down.
    first = picture[:, :panel].astype(int)
    rows, columns = np.nonzero(first[..., 2] - first[..., 0] > 60)
    inside = np.nonzero(np.isin(entry.mask[:, :, widest], (1, 2, 3)))
    for found_at, size, axis, length in ((columns, panel, 0, x), (rows, HEIGHT, 1, y)):
        low, high = 1 - (inside[axis].max() + 1) / length, 1 - inside[axis].min() / length
        assert found_at.min() / size == pytest.approx(low, abs=0.03)
        assert found_at.max() / size == pytest.approx(high, abs=0.03)


def test_thumbnails_without_mask_or_of_another_slice(tmp_path: Path) -> None:
    entry = write(tmp_path, Made("a", tumour=None))
    depth = entry.shape[2]
    assert thumbnail(entry).share == pytest.approx(0.5, abs=1 / depth)
    assert thumbnail(entry, 0.9).share == pytest.approx(0.9, abs=1 / depth)
    assert thumbnail(entry, 1.0).share < 1
