"""A run of four small cases, written file by file; the page is read back as HTML."""

from __future__ import annotations

import json
import math
from html.parser import HTMLParser
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml
from plotly.offline import get_plotlyjs

from lightning_brats.data.case import Case, ImageRef
from lightning_brats.data.reading import write_mask
from lightning_brats.errors import BratsError, DataError
from lightning_brats.evaluation.confidence import Confidence, case_calibration
from lightning_brats.evaluation.errors import ErrorTables, case_errors
from lightning_brats.labels import SCHEMES
from lightning_brats.report import panels, sections, write_report
from lightning_brats.report.run import read_run
from lightning_brats.report.scores import shown_cases, spread
from lightning_brats.report.wording import amount, digits, duration, heading, number, settings

NASTY = "c</script><script>alert(1)</script><img src=x onerror=alert(2)>"
DICE = {"a": (0.8, 0.7, 0.6), "b & <i>b": (0.6, 0.6, 0.0), NASTY: (0.9, 0.8, 0.7)}
DICE["d"] = (0.95, 0.9, 0.85)
HD95 = {"a": (3.0, 3.5, 5.0), "b & <i>b": (8.0, 9.0, math.inf), NASTY: (2.0, 3.0, 4.0)}
HD95["d"] = (1.0, 1.0, 1.5)
REGIONS = ("WT", "TC", "ET")
MM = (1.0, 1.0, 1.0)
FILES = (
    "config.yaml",
    "environment.json",
    "split.json",
    "metrics.csv",
    "evaluation.csv",
    "summary.json",
)


def make_case(folder: Path, name: str) -> Case:
    """A 16×18×12 head with one lesion; every modality is the same volume."""
    rng = np.random.default_rng(0)
    affine = np.diag([-2.0, -2.0, 2.0, 1.0])
    image = np.zeros((16, 18, 12), np.float32)
    image[2:14, 2:16, 1:11] = rng.uniform(50, 100, (12, 14, 10))
    labels = np.zeros(image.shape, np.uint8)
    labels[4:9, 5:10, 4:8] = 2
    labels[5:8, 6:9, 5:7] = 3
    # An identifier may hold what a file name cannot.
    stem = name.replace("/", "_")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}_image.nii.gz"
    nib.save(nib.Nifti1Image(image, affine), path)
    mask = folder / f"{stem}_seg.nii.gz"
    write_mask(mask, labels, affine, SCHEMES["brats2018"])
    refs = {m: ImageRef(path) for m in ("t1n", "t1c", "t2w", "t2f")}
    return Case(name, f"patient {name}", refs, SCHEMES["brats2018"], mask, cohort="GLI")


def score_table(names: list[str]) -> pd.DataFrame:
    rows = [
        (name, f"patient {name}", "GLI", region, metric, value)
        for name in names
        for metric, values in (("dice", DICE[name]), ("hd95", HD95[name]))
        for region, value in zip(REGIONS, values, strict=True)
    ]
    return pd.DataFrame(rows, columns=["case", "patient", "cohort", "region", "metric", "value"])


def make_run(folder: Path, names: list[str], validated: bool = True) -> dict[str, Case]:
    """Write the folder of a finished run whose test cases are `names`."""
    folder.mkdir(parents=True)
    scores = score_table(names)
    scores.to_csv(folder / "evaluation.csv", index=False)
    epochs = pd.DataFrame({"epoch": [0, 1], "step": [4, 8], "train/loss": [1.0, 0.5]})
    for region in (*REGIONS, "mean"):
        epochs[f"val/dice_{region}"] = [math.nan, 0.5 if validated else math.nan]
    epochs = epochs.assign(lr=1e-3, seconds=[10.0, 30.0], patches_per_second=[2.0, 4.0])
    epochs.assign(wait_share=[0.4, 0.0]).to_csv(folder / "metrics.csv", index=False)
    means = scores[scores["metric"] == "dice"].groupby("region")["value"].mean()
    summary = {
        "model": "attention_unet",
        "data": "phantom",
        "regions": {region: {"dice": means[region], "hd95": 2.0} for region in REGIONS},
        "dice_mean": means.mean(),
        "train_seconds": 7384.0,
        "parameters": 5646251,
        "gflops_per_patch": 212.4,
        "peak_memory_mb": 2048.0,
        "steps": 8,
        "epochs": 2,
        "best_epoch": 1 if validated else None,
        "phantom": True,
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    environment = {
        "command": "python experiments/run.py 'model=a<b'",
        "commit": "0123abc",
        "versions": {"torch": "2.13.0"},
        "hardware": {"cpu": "Some CPU", "cores": 2, "memory_gb": 23.4, "gpu": ["H200", "H200"]},
        "seed": 7,
    }
    (folder / "environment.json").write_text(json.dumps(environment))
    tested = {f"patient {name}": [name] for name in names}
    split = {"seed": 7, "train": {"p": ["x", "y"]}, "validation": {"q": ["z"]}, "test": tested}
    (folder / "split.json").write_text(json.dumps(split))
    config = {
        "seed": 7,
        "loss": {"_target_": "lightning_brats.losses.DiceCE", "weight": 1e-05, "note": "<u>"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    cases = {name: make_case(folder.parent / "data", name) for name in names}
    for shown in shown_cases(scores):
        labels = np.zeros((16, 18, 12), np.uint8)
        labels[5:9, 5:11, 4:8] = 2
        path = folder / "predictions" / f"{shown.case}.nii.gz"
        write_mask(path, labels, np.diag([-2.0, -2.0, 2.0, 1.0]), SCHEMES["brats2018"])
    return cases


class Page(HTMLParser):
    """What the tests look at: tags, attributes, scripts, text by tag and tiles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.tiles: dict[str, str] = {}
        self.text = ""
        self._tile: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._tile = dict(attrs).get("data-tile")
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and self.cdata_elem == "script":
            self.scripts[-1] += data
        elif self._tile is not None:
            self.tiles[self._tile] = data
            self._tile = None
        elif self.cdata_elem is None:
            self.text += " " + " ".join(data.split())


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "attention_unet" / "2025-03-04_17-05-06"
    write_report(folder, make_run(folder, list(DICE)))
    return folder


@pytest.fixture(scope="module")
def html(run) -> str:
    return (run / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def test_best_median_and_worst_by_hand():
    shown = shown_cases(score_table(list(DICE)))
    # Mean Dice: a .7, b .4, NASTY .8, d .9; of four the lower middle one is the median.
    assert [(s.role, s.case) for s in shown] == [
        ("best", "d"),
        ("median", "a"),
        ("worst", "b & <i>b"),
    ]
    assert [s.mean for s in shown] == pytest.approx([0.9, 0.7, 0.4])
    two = shown_cases(score_table(["a", "d"]))
    assert [(s.role, s.case) for s in two] == [("best", "d"), ("worst", "a")]
    assert [(s.role, s.case) for s in shown_cases(score_table(["a"]))] == [("only", "a")]


def test_spread_by_hand():
    found = spread(score_table(list(DICE)), "hd95", "ET")  # 1.5, 4, 5, ∞
    assert found is not None
    assert (found.n, found.infinite) == (4, 1)
    assert found.mean == pytest.approx(3.5)
    assert found.sd == pytest.approx(math.sqrt((2.0**2 + 0.5**2 + 1.5**2) / 2))
    # Positions 0.75, 1.5 and 2.25 of the sorted values; the last lies between 5 and infinity.
    assert found.quartiles == pytest.approx((3.375, 4.5, math.inf))
    assert (found.worst, found.worst_case) == (math.inf, "b & <i>b")


def test_quartiles_that_fall_on_an_infinite_value():
    values = [1.0, 2.0, 3.0, math.inf, math.inf]
    scores = pd.DataFrame({"case": list("abcde"), "metric": "hd95", "region": "WT"})
    found = spread(scores.assign(value=values), "hd95", "WT")
    assert found is not None
    assert found.quartiles == (2.0, 3.0, math.inf)
    assert (found.mean, found.infinite) == (2.0, 2)


def test_spread_leaves_out_what_is_undefined():
    scores = score_table(["a", "d"])
    scores.loc[(scores["case"] == "a") & (scores["metric"] == "dice"), "value"] = math.nan
    found = spread(scores, "dice", "WT")
    assert found is not None
    assert (found.n, found.mean) == (1, 0.95)
    assert math.isnan(found.sd)
    assert spread(scores, "iou", "WT") is None


def test_tiles_are_the_summary(run, page):
    summary = json.loads((run / "summary.json").read_text())
    regions = {r: f"{values['dice']:.3f}" for r, values in summary["regions"].items()}
    assert page.tiles == {"Mean Dice": f"{summary['dice_mean']:.3f}", **regions}


def test_words_of_the_page(page):
    for words in (
        "4 March 2025, 17:05",
        "in 4 test cases. Single cases range from 0.400 to 0.900, with a median of 0.750.",
        "With so few cases the mean is a rough estimate.",
        "clinically they mean nothing",
        "For research only.",
        "python experiments/run.py 'model=a<b'",
        "1 NETC, 2 SNFH, 4 ET",
        "2 × H200, Some CPU, 2 cores, 23 GB memory",
        "2 h 3 min",
        "5.65 M",
        "10.0 %",  # waiting: (0.4 · 10 s + 0 · 30 s) / 40 s
        "DiceCE",
        "drawn by patient, seed 7",
    ):
        assert words in page.text, words


def test_nothing_is_loaded_from_elsewhere(html, page):
    links = [a[name] for _, a in page.tags for name in ("src", "href") if name in a]
    assert links
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in links)
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'")


def test_plotly_is_there_once(html):
    assert html.count(get_plotlyjs()) == 1


def test_names_from_files_stay_text(page):
    assert NASTY in page.text
    assert not [a for _, a in page.tags if "onerror" in a]
    assert "i" not in {tag for tag, a in page.tags if not a}
    assert "u" not in {tag for tag, _ in page.tags}
    charts = [json.loads(script) for script in page.scripts[:4]]
    assert len(page.scripts) == 4 + 2
    assert {len(chart["data"]) for chart in charts} == {1, 3}
    assert not [script for script in page.scripts[:4] if "<" in script]


def test_figures_are_written_and_embedded(run, page):
    names = {path.name for path in (run / "figures").glob("*.png")}
    panels = {"case_best.png", "case_median.png", "case_worst.png"}
    assert names == panels | {"learning_curves.png", "scores.png"}
    assert sum(tag == "img" for tag, _ in page.tags) == len(names)


def test_infinite_distances_sort_last_and_are_counted(page):
    cells = [a["data-sort"] for tag, a in page.tags if "data-sort" in a]
    assert len(cells) == 4 * (1 + 3 + 3)
    assert cells.count("Infinity") == 1
    assert "1 infinite" in page.scripts[1]


def test_one_case_without_validation_or_finite_distance(tmp_path, monkeypatch):
    monkeypatch.setitem(HD95, "a", (math.inf,) * 3)
    folder = tmp_path / "unet" / "first try"
    page = Page(write_report(folder, make_run(folder, ["a"], validated=False)).read_text())
    for words in (
        "The run has no validation epoch.",
        "No finite distance to draw.",
        "One case says nothing about others.",
        "first try",
        "The only test case",
    ):
        assert words in page.text, words
    assert "range from" not in page.text


def test_no_note_about_a_phantom_on_real_data(tmp_path):
    folder = tmp_path / "run"
    cases = make_run(folder, ["a"])
    summary = json.loads((folder / "summary.json").read_text()) | {"phantom": False}
    (folder / "summary.json").write_text(json.dumps(summary))
    assert "Digital phantom" not in write_report(folder, cases).read_text()


def test_errors_confidence_tuning_and_what_was_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(panels, "DPI", 20)
    monkeypatch.setattr(sections, "DPI", 20)
    folder = tmp_path / "run"
    cases = make_run(folder, ["a", "d"])
    reference = np.zeros((12, 12, 12), np.uint8)
    reference[2:8, 2:8, 2:8] = 2
    found = {name: case_errors(reference, np.roll(reference, 1, 0), MM, REGIONS) for name in cases}
    ErrorTables.of(list(cases.values()), found).write(folder)
    soft = 0.8 * (reference > 0)
    calibrations = {name: case_calibration([soft], reference, ["WT"], None) for name in cases}
    predicted = {"a": {"WT": 0.9}, "d": {"WT": 0.7}}
    Confidence.of(predicted, calibrations).write(folder)
    scores = score_table(["a", "d"])
    cohorts = scores.assign(cohort=scores["case"].map({"a": "GLI", "d": "SSA"}))
    cohorts.to_csv(folder / "evaluation.csv", index=False)
    tuned = {"metric": "dice", "before": 0.5, "after": 0.625, "validation_cases": 3}
    excluded = [
        {"case": "<b>x", "problem": "t1c is constant"},
        {"case": None, "problem": "no mask"},
    ]
    summary = json.loads((folder / "summary.json").read_text())
    summary |= {"postprocess": tuned, "excluded": excluded}
    (folder / "summary.json").write_text(json.dumps(summary))
    page = Page(write_report(folder, cases).read_text())
    text = " ".join(page.text.split())
    for words in (
        "Post-processing tuned: mean Dice 0.500 → 0.625 on 3 validation cases; expect less",
        "Cases left out 2",
        "<b>x t1c is constant – no mask",
        "By cohort",
        "GLI 1 1 0.700",
        "Where masks err",
        "28.6 % have two different labels (mean over 2 cases)",  # 2 · 36 of 216 + 36 voxels
        "Does the network know when it errs?",
        "WT 0.2000 0.175 −1.00",
    ):
        assert words in text, words
    charts = {a["data-chart"] for _, a in page.tags if "data-chart" in a}
    assert {"boundary", "calibration", "dice-predicted", "risk"} <= charts
    names = {path.name for path in (folder / "figures").glob("*.png")}
    assert {"boundary.png", "confidence.png"} <= names


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path, name):
    folder = tmp_path / "run"
    cases = make_run(folder, ["a"])
    (folder / name).unlink()
    with pytest.raises(BratsError, match=name) as caught:
        write_report(folder, cases)
    assert caught.value.file == folder / name
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("summary.json", "[1]", "expected an object"),
        ("summary.json", '{"model": ', "cannot be read"),
        ("summary.json", '{"model": "a"}', "lacks data, regions, dice_mean"),
        ("metrics.csv", "epoch,step\n0,1\n", "lacks train/loss"),
        ("metrics.csv", "", "cannot be read"),
        ("config.yaml", "a: [1", "cannot be read"),
        ("evaluation.csv", "case,patient,cohort,region,metric,value\n", "no Dice to report"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, content, problem):
    folder = tmp_path / "run"
    make_run(folder, ["a"])
    (folder / name).write_text(content)
    with pytest.raises(DataError, match=problem) as caught:
        read_run(folder)
    assert caught.value.file == folder / name


def test_a_missing_prediction_or_case_is_named(tmp_path):
    folder = tmp_path / "run"
    cases = make_run(folder, ["a"])
    with pytest.raises(DataError, match="not among the cases given") as caught:
        write_report(folder, {})
    assert caught.value.case == "a"
    (folder / "predictions" / "a.nii.gz").unlink()
    with pytest.raises(DataError, match="file not found") as caught:
        write_report(folder, cases)
    assert caught.value.file == folder / "predictions" / "a.nii.gz"


def test_identifiers_stay_text(tmp_path, monkeypatch):
    monkeypatch.setitem(DICE, "00012", DICE["a"])
    monkeypatch.setitem(HD95, "00012", HD95["a"])
    folder = tmp_path / "run"
    make_run(folder, ["00012"])
    assert set(read_run(folder).scores["case"]) == {"00012"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (number(-1.25, 1), "−1.2"),
        (number(-0.04, 1), "0.0"),
        (number(math.inf), "∞"),
        (number(math.nan), "–"),
        (amount(5646251), "5.65 M"),
        (amount(12), "12"),
        (amount(None), "–"),
        (duration(59.04), "59.0 s"),
        (duration(241.3), "4 min 1 s"),
        (duration(90061), "1 d 1 h"),
    ],
)
def test_numbers_in_words(text, expected):
    assert text == expected


@pytest.mark.parametrize(
    ("metric", "expected", "places"),
    [
        ("dice", "Dice", 3),
        ("lesion_hd95", "Lesion HD95 (mm)", 1),
        ("nsd_0.5", "NSD 0.5", 3),
        ("volume_error_abs", "Volume error abs (%)", 1),
        ("specificity", "Specificity", 4),
        ("lesion_fp", "Lesion FP", 1),
    ],
)
def test_metrics_in_words(metric, expected, places):
    assert (heading(metric), digits(metric)) == (expected, places)


@pytest.mark.parametrize(
    ("metric", "worst"), [("dice", -3.0), ("hd95", 2.0), ("volume_error", -3.0)]
)
def test_what_is_worst_follows_the_metrics_direction(metric, worst):
    scores = pd.DataFrame({"case": ["a", "b", "c"], "metric": metric, "region": "WT"})
    found = spread(scores.assign(value=[-3.0, 1.0, 2.0]), metric, "WT")
    assert found is not None
    assert found.worst == worst


def test_settings_in_words():
    group = {
        "_target_": "a.b.UNet",
        "channels": [16, 32],
        "act": {"_target_": "c.ReLU", "slope": 0.1},
    }
    assert settings(group | {"bias": False, "norm": None}) == (
        "UNet",
        [
            ("channels", "16, 32"),
            ("act", "ReLU"),
            ("act.slope", "0.1"),
            ("bias", "no"),
            ("norm", "none"),
        ],
    )


def test_parts_in_lists_are_named():
    steps = [{"_target_": "a.b.DropSmall", "minimum": {"WT": 100}}, {"_target_": "a.Hierarchy"}]
    assert settings({"steps": steps}) == (
        "",
        [("steps", "DropSmall (minimum.WT 100), Hierarchy")],
    )
