"""Parts of a comparison's page: places of marks, charts of settings, pictures of cases."""

from __future__ import annotations

import base64
import io
import math
import time
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import write_case
from made_comparison import GRID, make_comparison, make_entries
from PIL import Image

from lightning_brats.data.case import Case
from lightning_brats.data.reading import read_mask, write_mask
from lightning_brats.figures.comparison_charts import LOGARITHMIC, pareto
from lightning_brats.figures.comparison_distribution import POINTS, distribution
from lightning_brats.figures.comparison_parallel import axis, parallel
from lightning_brats.figures.comparison_style import COLOURS, SYMBOLS, looks
from lightning_brats.report.comparison_cases import explorer, telling_cases
from lightning_brats.report.comparison_layout import STRIP, Strip, critical_diagram
from lightning_brats.report.comparison_settings import importance, setting_columns
from lightning_brats.report.comparison_shown import Shown, better, p_value, percent, signed

TWO = {name: GRID[name] for name in list(GRID)[:2]}
CASES = ("case_0", "case_1", "case_2")


def test_looks_differ_beyond_the_palette():
    names = [f"choice {i}" for i in range(len(COLOURS) * len(SYMBOLS))]
    assert len({(look.colour, look.symbol) for look in looks(names).values()}) == 42


def test_strip_by_hand():
    strip = Strip(-1.0, 3.0, ())
    assert strip.place(0.0) == pytest.approx(STRIP / 4)
    assert strip.place(99.0) == STRIP
    assert strip.bar(-9.0, 1.0, 2.0) == (0.0, STRIP / 2, 0.75 * STRIP)
    assert strip.bar(math.nan, 1.0, math.nan) == (STRIP / 2,) * 3
    assert strip.bar(0.0, math.inf, 1.0) is None


def test_ticks_are_round_and_inside():
    strip = Strip.around([0.011, 0.049, math.inf, math.nan], zero=True)
    assert strip.low < 0
    assert strip.high > 0.049
    assert [label for _, label in strip.ticks] == ["0.00", "0.02", "0.04"]
    assert all(0 <= place <= STRIP for place, _ in strip.ticks)
    assert Strip.around([2.0, 2.0]).high > 2 > Strip.around([2.0, 2.0]).low
    assert Strip.around([]).ticks


def test_critical_diagram_by_hand():
    ranks = {"b": 2.0, "a": 1.0, "c": 3.0}
    found = critical_diagram(
        {"ranks": ranks, "cd": 1.0, "groups": [["a", "b"], ["c"]]}, ("a", "b", "c")
    )
    places = [one["x"] for one in found["names"]]
    assert [one["name"] for one in found["names"]] == ["a", "b", "c"]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1])
    length = found["difference"][1] - found["difference"][0]
    assert length == pytest.approx(places[1] - places[0])  # one rank
    assert len(found["bars"]) == 1
    assert found["bars"][0][0] < places[0] < places[1] < found["bars"][0][1] < places[2]
    # Two on the left, the outer one higher; one on the right.
    assert [one["left"] for one in found["names"]] == [True, True, False]
    assert found["names"][0]["y"] < found["names"][1]["y"]


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0004, "< 0.001"), (0.0123, "0.012"), (0.5, "0.50"), (1.0, "1.00"), (math.nan, "–")],
)
def test_p_values_as_papers_print_them(p, text):
    assert p_value(p) == text


def test_signs_and_shares():
    assert signed(0.0314, "dice") == "+0.031"
    assert signed(-2.345, "hd95") == "−2.35"
    assert percent(0.127) == "13 %"


def test_better_follows_the_metric():
    values = pd.Series({"a": 1.0, "b": math.inf, "c": math.nan, "d": 0.5})
    assert better("hd95", values) == ["d", "a", "b"]
    assert better("dice", values) == ["b", "a", "d"]


def test_many_cases_are_drawn_as_outlines_alone():
    count = POINTS // 2 + 1
    table = pd.DataFrame({"a": np.linspace(0, 1, count), "b": 0.5}, index=range(count))
    kinds = [trace.type for trace in distribution(table, "dice", looks(["a", "b"])).data]
    assert kinds == ["violin", "violin", "scatter"]
    assert len(distribution(table[:9], "dice", looks(["a", "b"])).data) == 6


def test_front_is_sorted_and_wide_costs_are_logarithmic():
    table = pd.DataFrame({"choice": ["a", "b"], "cost": [2.0 * LOGARITHMIC, 1.0]})
    table = table.assign(score=[0.9, 0.8], front=True)
    figure = pareto(table, ("GFLOPs", "Dice"), looks(["a", "b"]))
    assert list(figure.data[0].x) == [1.0, 2.0 * LOGARITHMIC]
    assert figure.layout.xaxis.type == "log"
    low, high = figure.layout.xaxis.range
    assert low < 0
    assert high > math.log10(2 * LOGARITHMIC)


def test_parallel_axes():
    assert axis([1e-4, 1e-3, 1e-2]).places == pytest.approx([0, 0.5, 1])  # logarithmic
    assert axis([16, 32, 24]).places == pytest.approx([0, 1, 0.5])
    assert axis([16, 32]).ticks == [(0.0, "16"), (1.0, "32")]
    assert [text for _, text in axis(list(range(101))).ticks] == ["0", "25", "50", "75", "100"]
    assert axis(["b", "a", "c"]).places == pytest.approx([0.5, 0, 1])
    assert axis([True, False]).texts == ["True", "False"]


def test_parallel_lines_end_at_their_score():
    figure = parallel({"lr": [1e-4, 1e-2], "loss": ["b<i>", "a"]}, [0.6, 0.5], "Dice")
    # The best run is drawn last, over the others.
    assert [trace.y[-1] for trace in figure.data] == [0.0, 1.0]
    assert figure.data[1].text[0] == "lr: 0.0001<br>loss: b&lt;i&gt;<br>Dice: 0.6"


def test_importance_finds_what_matters():
    rng = np.random.default_rng(0)
    lr, loss = 10 ** rng.uniform(-4, -2, 60), rng.choice(["a", "b"], 60)
    scores = 0.2 * np.log10(lr) + 0.001 * (loss == "a")
    shares = importance({"loss": list(loss), "lr": list(lr)}, list(scores))
    assert list(shares) == ["lr", "loss"]
    assert shares["lr"] > 0.9
    assert sum(shares.values()) == pytest.approx(1)
    assert importance({"lr": [1.0, 2.0], "loss": ["a", "b"]}, [0.5, 0.5]) == {}


def test_importance_of_dozens_of_levels_takes_no_hours():
    levels = [f"level {i}" for i in range(30)] * 3
    losses = [f"loss {i % 4}" for i in range(90)]
    columns = {"model": levels, "loss": losses, "lr": [float(i // 30) for i in range(90)]}
    began = time.perf_counter()
    shares = importance(columns, [float(level.split()[1]) for level in levels])
    assert time.perf_counter() - began < 10
    assert max(shares, key=shares.__getitem__) == "model"


def test_settings_that_hang_on_others_are_left_out():
    entries = list(make_entries(GRID, (0,)))
    own = entries[0].settings | {"loss.gamma": 2.0}
    entries[0] = replace(entries[0], settings=own)
    columns = setting_columns(entries)
    assert set(columns) == {"model", "loss", "optimizer.lr"}
    assert columns["model"] == ["attention_unet", "attention_unet", "unet", "unet"]
    assert all(isinstance(value, float) for value in columns["optimizer.lr"])


def test_telling_cases_by_hand():
    values = {"a": (0.9, 0.9), "b": (0.1, 0.1), "c": (0.8, 0.2), "d": (0.7, 0.7), "e": (0.5, 0.4)}
    values |= {"f": (0.6, 0.6), "g": (0.3, 0.3)}
    entries = make_entries(TWO, (0,), tuple(values))
    found = make_comparison(entries)
    changed = tuple(
        replace(
            entry,
            scores=entry.scores.assign(
                value=[values[case][place] for case in entry.scores["case"]]
            ),
        )
        for place, entry in enumerate(entries)
    )
    roles = telling_cases(Shown(replace(found, entries=changed)))
    assert [case for case, role in roles.items() if role == "worst"] == ["b", "g"]
    # Of the rest, c lies 0.6 apart and e 0.1; then the best two that are left.
    assert [case for case, role in roles.items() if role == "most disputed"] == ["c", "e"]
    assert [case for case, role in roles.items() if role == "best"] == ["a", "d"]


def make_runs(folder: Path, cases: list[Case], shift: int = 0):
    """Two choices with two seeds: predictions are the references, moved by `shift` for one."""
    entries = make_entries(TWO, (0, 1), CASES, folder)
    for entry in entries:
        moved = shift if entry.choice == list(TWO)[1] else 0
        for case in cases:
            labels, affine = read_mask(case.mask, case.scheme, case.case)
            path = entry.folder / "predictions" / f"{case.case}.nii.gz"
            write_mask(path, np.roll(labels, moved, 0), affine, case.scheme)
    return entries


def pixels(tile: dict) -> np.ndarray:
    header, _, data = tile["source"].partition(",")
    assert header == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), float)


def test_pictures_of_every_choice_on_one_plane(tmp_path):
    cases = [write_case(tmp_path / "data", name, seed=i) for i, name in enumerate(CASES)]
    shown = Shown(make_comparison(make_runs(tmp_path / "runs", cases, 3)))
    found = explorer(shown, {case.case: case for case in cases})
    assert {figure["case"] for figure in found["figures"]} == set(CASES)
    views = {view["key"]: view["tiles"] for view in found["figures"][0]["views"]}
    assert list(views) == ["t1c", "t2f", "errors-WT", "errors-TC", "errors-ET"]
    reference, right, moved = map(pixels, views["t1c"])
    assert reference.shape == right.shape == moved.shape
    assert np.abs(reference - right).max() == 0
    assert np.abs(reference - moved).mean() > 1
    # Missed is yellow, which has far less blue than red; nothing of that where all is right.
    right, moved = map(pixels, views["errors-WT"])
    assert ((moved[..., 0] - moved[..., 2]) > 80).mean() > 0.005
    assert ((right[..., 0] - right[..., 2]) > 80).sum() == 0
    assert "seed" in views["t1c"][1]["note"]


def test_cases_come_from_the_data_that_a_run_names(tmp_path):
    cases = [write_case(tmp_path / "data", name, seed=i) for i, name in enumerate(CASES)]
    entries = make_runs(tmp_path / "runs", cases)
    table = tmp_path / "cases.csv"
    rows = [
        {"case": c.case, "patient": c.case, "mask": c.mask}
        | {m: r.path for m, r in c.images.items()}
        for c in cases
    ]
    pd.DataFrame(rows).to_csv(table, index=False)
    source = {
        "_target_": "lightning_brats.data.sources.load_table",
        "table": str(table),
        "labels": {1: 1, 2: 2, 4: 3},
        "modalities": list(cases[0].images),
        "cache": None,
    }
    (entries[0].folder / "config.yaml").write_text(yaml.safe_dump({"data": source}))
    found = explorer(Shown(make_comparison(entries)), None)
    assert len(found["figures"]) == 3
    assert found["problem"] == ""
    table.unlink()
    gone = explorer(Shown(make_comparison(entries)), None)
    assert not gone["figures"]
    assert "not" in gone["problem"] or "no" in gone["problem"]


def test_predictions_that_do_not_fit_are_named(tmp_path):
    cases = [write_case(tmp_path / "data", name, seed=i) for i, name in enumerate(CASES)]
    entries = make_runs(tmp_path / "runs", cases)
    for entry in entries[2:]:
        for path in (entry.folder / "predictions").iterdir():
            image = nib.load(path)
            wrong = np.full(image.shape, 77, np.uint8)
            nib.save(nib.Nifti1Image(wrong, image.affine), path)
    found = explorer(Shown(make_comparison(entries)), {case.case: case for case in cases})
    tiles = found["figures"][0]["views"][0]["tiles"]
    assert [tile["name"] for tile in tiles] == ["reference", next(iter(TWO))]
    assert len(found["problems"]) == 3
    assert "77" in found["problems"][0]


def test_no_predictions_no_pictures(tmp_path):
    entries = make_entries(TWO, (0,), CASES, tmp_path)
    found = explorer(Shown(make_comparison(entries)), None)
    assert found["figures"] == []
    assert found["problem"] == "no run tells where the images are"
    assert found["cases"]
    assert "case_0" in found["scores"]
