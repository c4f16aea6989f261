"""The page of a made-up comparison, read back as HTML."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_comparison import GRID, REGIONS, make_comparison, make_entries
from plotly.offline import get_plotlyjs

from lightning_brats.report.comparison import write_comparison
from lightning_brats.report.comparison_shown import Shown

NASTY = "c</script><script>alert(1)</script><img src=x onerror=alert(2)>"
TWO = {name: GRID[name] for name in list(GRID)[:2]}


class Page(HTMLParser):
    """Tags with attributes, text outside of scripts, charts, and the text of each table's rows."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.charts: dict[str, dict] = {}
        self.rows: list[list[str]] = []
        self.text = ""
        self._script: dict[str, str | None] = {}
        self._cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self._script = dict(attrs)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            if name := self._script.get("data-plot"):
                self.charts[name] = json.loads(data)
        elif self.cdata_elem is None:
            self.text += " " + " ".join(data.split())
            if self._cell:
                self.rows[-1][-1] += " ".join(data.split())

    @property
    def sections(self) -> set[str]:
        return {str(a["id"]) for tag, a in self.tags if tag == "section" and "id" in a}


def page_of(folder: Path, *arguments, **changes) -> tuple[str, Page]:
    entries = make_entries(*arguments)
    path = write_comparison(folder, make_comparison(entries, **changes))
    html = path.read_text(encoding="utf-8")
    return html, Page(html.replace(get_plotlyjs(), ""))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[str, Page]:
    return page_of(tmp_path_factory.mktemp("whole"), GRID)


def test_every_section_is_there(whole):
    expected = {"ranking", "summary", "differences", "distributions", "grids", "curves", "cost"}
    expected |= {"variance", "subgroups", "settings", "cases", "methods"}
    assert whole[1].sections == expected


def test_it_opens_with_verdicts_and_warnings(whole):
    text = whole[1].text
    places = [
        text.index(words)
        for words in ("With this protocol", "beats unet", "It costs more.", "Mean rank")
    ]
    assert places == sorted(places)
    assert "Digital phantom." in text  # said by no warning
    assert "An infinite HD95 counts as 374 mm." in text


def test_it_loads_nothing(whole):
    html, page = whole
    own = html.replace(get_plotlyjs(), "")
    assert not re.search(r"https?://", own)
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object")
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert "default-src 'none'" in own
    assert len(html) < 15e6


def test_summary_by_hand(whole):
    entries = make_entries(GRID)
    first = next(iter(GRID))
    values = pd.concat([entry.scores for entry in entries if entry.choice == first])
    dice = values[(values["metric"] == "dice") & (values["region"] == "WT")]
    by_case = dice.groupby("case")["value"].mean()
    row = next(row for row in whole[1].rows if row[0].endswith(first) and "±" in row[1])
    assert row[1].startswith(f"{by_case.mean():.3f}± {by_case.std(ddof=1):.3f}")


def test_bold_only_where_shown(tmp_path):
    entries = make_entries(GRID)
    found = make_comparison(entries)
    bold = re.compile(r'class="mean shown"')
    shown = write_comparison(tmp_path / "a", found).read_text(encoding="utf-8")
    pairs = found.pairs.assign(significant=False)
    doubtful = write_comparison(tmp_path / "b", replace(found, pairs=pairs))
    # Neighbours are 0.02 Dice apart, and all 24 cases agree but for noise.
    assert len(bold.findall(shown)) == 2 * len(REGIONS)
    assert not bold.findall(doubtful.read_text(encoding="utf-8"))


def test_forest_rows_by_hand(whole):
    first, second = list(GRID)[:2]
    entries = make_entries(GRID)
    means = {}
    for choice in (first, second):
        table = pd.concat([entry.scores for entry in entries if entry.choice == choice])
        own = table[(table["metric"] == "dice") & (table["region"] == "ET")]
        means[choice] = own.groupby("case")["value"].mean()
    values = means[first] - means[second]
    text = f"+{values.mean():.3f}"
    rows = [row for row in whole[1].rows if len(row) == 7 and text in row[2]]
    assert any(first in row[0] and second in row[0] and row[6] == "24" for row in rows)


def test_it_says_which_differences_were_tested(whole, tmp_path):
    assert "correction over all differences from the baseline, regions" in whole[0]
    html, _ = page_of(tmp_path, GRID, baseline=None)
    assert "correction over all pairs, regions" in html


def test_views_cover_metrics_and_regions(whole):
    for section in ("forest", "groups", "needs"):
        assert f'id="{section}"' in whole[0]
    views = [a for _, a in whole[1].tags if "data-view" in a and "data-metric" in a]
    found = {(a["data-metric"], a["data-region"]) for a in views}
    assert found == {(m, r) for m in ("dice", "hd95") for r in REGIONS}
    quantities = {a["data-quantity"] for _, a in whole[1].tags if "data-quantity" in a}
    assert quantities == {"val/dice_mean", "train/loss", *(f"val/dice_{r}" for r in REGIONS)}
    ways = {a["data-progress"] for _, a in whole[1].tags if "data-progress" in a}
    assert ways == {"step", "seconds_total"}


def test_infinite_values_are_counted_not_drawn(whole):
    charts = [c for name, c in whole[1].charts.items() if name.startswith("spread")]
    labels = [text for chart in charts for text in chart["layout"]["xaxis"]["ticktext"]]
    # The second choice's HD95 of ET is infinite in one of the cases.
    assert [text for text in labels if "infinite" in text] == [f"{list(GRID)[1]}<br>1 infinite"]


def test_lines_join_the_same_case(whole):
    chart = whole[1].charts["spread-1"]
    markers = [trace for trace in chart["data"] if trace.get("mode") == "markers"]
    assert len(markers) == len(GRID)
    assert all(trace["text"] == markers[0]["text"] for trace in markers)
    lines = next(trace for trace in chart["data"] if trace.get("mode") == "lines")
    cases = [part for part in np.array_split(lines["y"], len(markers[0]["text"]))]
    assert [case[0] for case in cases] == markers[0]["y"]


def test_grid_holds_every_combination(whole):
    cells = [row for row in whole[1].rows if row and row[0] in ("attention_unet", "unet")]
    assert {len(row) for row in cells} == {3}
    assert "Interaction: F = 1.23, p = 0.27; 2 % of the differences between cells." in whole[1].text


def test_names_are_escaped(tmp_path):
    choices = {NASTY: ("unet", "dice_ce"), "b & <i>b": ("unet", "dice_focal")}
    cases = ("case <b>1", "case '2\"", "c</script>", *(f"case {i}" for i in range(4, 10)))
    html, page = page_of(
        tmp_path, choices, (0, 1), cases, verdicts=(NASTY,), warnings=(NASTY,), notes=(NASTY,)
    )
    own = html.replace(get_plotlyjs(), "")
    assert NASTY not in own
    assert "<i>b" not in own
    assert "<b>1" not in own
    assert not [tag for tag, attributes in page.tags if "onerror" in attributes]
    assert NASTY in "".join(page.text.split("  ")) or NASTY in page.text


def test_one_seed_two_choices_no_history(tmp_path):
    entries = make_entries(TWO, (0,), history=False)
    found = make_comparison(entries, power=pd.DataFrame(), subgroups=pd.DataFrame())
    path = write_comparison(tmp_path, replace(found, variance=pd.DataFrame()))
    page = Page(path.read_text(encoding="utf-8").replace(get_plotlyjs(), ""))
    missing = {"curves", "grids", "variance", "subgroups"}
    assert not page.sections & missing
    assert {"ranking", "summary", "differences", "cases", "methods"} <= page.sections
    links = {a["href"] for tag, a in page.tags if tag == "a"}
    assert links <= {f"#{name}" for name in page.sections}
    assert "Critical difference" not in page.text
    assert "seeds ±" not in page.text


def test_unknown_numbers_become_dashes(tmp_path):
    found = make_comparison(make_entries(TWO, (0,)))
    pairs = found.pairs.assign(p_holm=np.nan, low=np.nan, high=np.nan, difference=np.inf)
    ranking = found.ranking.assign(low=np.nan, high=np.nan, first_share=np.nan)
    path = write_comparison(tmp_path, replace(found, pairs=pairs, ranking=ranking))
    assert "nan" not in Page(path.read_text(encoding="utf-8")).text.lower()


def test_long_verdicts_are_folded(tmp_path):
    texts = tuple(f"Verdict number {i}." for i in range(9))
    html, page = page_of(tmp_path, TWO, (0,), verdicts=texts)
    assert [text for text in texts if text in page.text] == list(texts)
    assert "<summary>4 more</summary>" in html


def test_shares_cannot_differ_by_more_than_one(tmp_path):
    found = make_comparison(make_entries(TWO, (0,)))
    path = write_comparison(tmp_path, replace(found, power=found.power.assign(detectable=26.1)))
    rows = Page(path.read_text(encoding="utf-8")).rows
    assert {row[2] for row in rows if row[3:] == ["> 100,000", "7"]} == {"none", "± 26.10"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_a_browser_draws_it_without_complaint(tmp_path):
    path = write_comparison(tmp_path, make_comparison(make_entries(GRID)))
    command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu"]
    command += ["--enable-logging=stderr", "--virtual-time-budget=6000", "--window-size=390,900"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in done.stderr
    # Chosen views alone are drawn: distribution, curves, front, settings.
    assert done.stdout.count('class="js-plotly-plot"') + done.stdout.count("js-plotly-plot") >= 4
    assert "WebGL is not supported" not in done.stdout.replace(get_plotlyjs(), "")
    table = done.stdout.split('<table id="case-table">')[1].split("</table>")[0]
    assert table.count("<tr>") == 1 + len(GRID)


def test_cases_are_averaged_over_seeds():
    shown = Shown(make_comparison(make_entries(TWO, (0, 1, 2))))
    entries = [entry for entry in shown.found.entries if entry.choice == shown.choices[0]]
    case = entries[0].test_cases[3]
    rows = pd.concat([entry.scores for entry in entries])
    own = rows[(rows["case"] == case) & (rows["region"] == "TC") & (rows["metric"] == "hd95")]
    assert len(own) == 3
    mean = shown.cases(("hd95", "TC")).loc[case, shown.choices[0]]
    assert mean == pytest.approx(own["value"].sum() / 3)
