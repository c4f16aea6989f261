"""The page on a study's result, from the files that a comparison writes."""

from __future__ import annotations

import importlib
import sys
from itertools import combinations
from pathlib import Path
from types import ModuleType

import pytest
from doc_pages import DOCS, ROOT

from lightning_brats.comparison.result import Comparison

sys.path.insert(0, str(ROOT / "tests" / "comparison"))
from made_comparison import GRID, make_comparison, make_entries

from lightning_brats.comparison.writing import write_files


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """docs/make_results.py."""
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module("make_results")
    finally:
        sys.path.remove(str(DOCS))


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return make_comparison(make_entries(dict(list(GRID.items())[:3])))


def test_the_page_holds_what_was_found(
    made: ModuleType, comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(comparison, tmp_path / "compared")
    (tmp_path / "docs" / "pictures").mkdir(parents=True)
    monkeypatch.setattr(made, "DOCS", tmp_path / "docs")
    made.main([str(tmp_path / "compared")])
    page = (tmp_path / "docs" / "results.md").read_text()
    for sentence in (*comparison.verdicts, *comparison.warnings, *comparison.notes):
        assert sentence in page
    assert (tmp_path / "compared" / "table.md").read_text().strip() in page
    for choice in comparison.choices:
        assert f"| {choice} |" in page
    assert "nan" not in page.lower().split()
    assert (tmp_path / "docs" / "pictures" / "results.svg").stat().st_size > 1000


def test_of_many_choices_the_first_s_pairs_are_listed(made: ModuleType) -> None:
    pairs = [{"a": a, "b": b} for a, b in combinations("abcdefgh", 2)]
    found = {"choices": list("abcdefgh"), "ranking": [{"choice": "a"}], "pairs": pairs}
    found["baseline"] = None
    assert [row["b"] for row in made._listed_pairs(found)] == list("bcdefgh")
    with_baseline = made._listed_pairs(found | {"baseline": "c"})
    names = [row["a"] + row["b"] for row in with_baseline]
    assert names == ["ac", "bc", "cd", "ce", "cf", "cg", "ch"]
    assert made._listed_pairs(found | {"choices": list("abc")}) == pairs


def test_cohorts_are_told_apart(made: ModuleType) -> None:
    rows = [
        {"group": group, "level": level, "choice": "a", "region": "WT", "metric": metric}
        | {"mean": mean, "n": n}
        for group, level, metric, mean, n in (
            ("cohort", "here", "dice", 0.8, 5),
            ("cohort", "there", "dice", 0.3, 7),
            ("cohort", "there", "hd95", 40.0, 7),
            ("size", "small", "dice", 0.5, 4),
        )
    ]
    section = made._cohorts(rows)
    assert "| mean Dice | here: WT | there: WT |" in section
    assert "| a | 0.800 | 0.300 |" in section
    assert "here 5, there 7" in section
    assert made._cohorts(rows[3:]) == ""


def test_the_picture_shows_the_means(made: ModuleType, comparison: Comparison) -> None:
    rows = comparison.summary.to_dict("records")
    figure = made.draw(rows, list(comparison.choices))
    drawn = {round(float(line.get_xdata()[0]), 9) for a in figure.axes for line in a.lines[1::2]}
    assert drawn == {round(float(row["mean"]), 9) for row in rows}


def test_the_committed_page_is_a_made_one(made: ModuleType) -> None:
    page = (DOCS / "results.md").read_text()
    assert page.startswith(made.MARK)
    assert "phantom" in page, "the stored study is on the phantom: the page has to say so"


def test_another_folder_is_refused(made: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"comparison\.json"):
        made.main([str(tmp_path)])
