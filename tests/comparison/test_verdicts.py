"""Sentences say what the numbers say, and no more."""

import re
from dataclasses import replace

import numpy as np
import pytest
from simulated import Truth, entries_of, entry, quick

from lightning_brats.comparison import Comparison, compare
from lightning_brats.comparison.words import listed, number, p_text, percent


def made(effects: dict[str, float], seeds: int = 3, patients: int = 30, **known) -> Comparison:
    rng = np.random.default_rng(0)
    drawn = Truth(seed=0.004).draw(rng, list(effects.values()), patients, seeds)
    entries = entries_of(dict(zip(effects, drawn, strict=True)), "ET", **known)
    return compare(entries, quick())


def test_a_difference_is_claimed_with_its_interval() -> None:
    found = made({"attention_unet": 0.08, "unet": 0.0})
    (row,) = found.pairs.to_dict("records")
    assert row["significant"]
    first, second = found.verdicts[:2]
    assert first.startswith("attention_unet ranks first (mean rank ")
    expected = (
        f"attention_unet beats unet on ET by {row['difference']:.3f} Dice "
        f"[{row['low']:.3f}, {row['high']:.3f}], {p_text(row['p_holm'])}."
    )
    assert second == expected


def test_no_difference_is_never_equality() -> None:
    found = made({"attention_unet": 0.001, "unet": 0.0}, patients=12)
    text = " ".join(found.verdicts)
    assert not found.pairs["significant"].any()
    assert "No choice is shown to be best" in text
    assert "No difference in Dice is shown between" in text
    assert not re.search(r"\b(equal|same|beats|better|as good)\b", text)
    row = found.power.iloc[0]
    assert f"ET {row['detectable']:.3f} (seen: " in text
    assert "of 12 patients" in text


def test_too_few_patients_for_any_claim_are_told_once() -> None:
    found = made({"a": 0.3, "b": 0.1, "c": 0.0}, patients=6)
    text = " ".join(found.verdicts)
    # Three tests: 2 / 2⁶ is above 0.05 / 3, 2 / 2⁷ below.
    assert text.count("With 6 patients, 3 tests cannot show any difference") == 1
    assert "that takes 7 patients" in text
    assert not found.pairs["significant"].any()


def test_seeds_that_are_missing_are_named() -> None:
    for effects in ({"a": 0.2, "b": 0.0}, {"a": 0.0, "b": 0.0}):
        found = made(effects, seeds=1)
        assert any("Trained once: a, b" in line for line in found.warnings)
        assert found.verdicts[1].startswith("Seeds are missing: every choice was trained once")
    found = made({"a": 0.2, "b": 0.0})
    assert "missing" not in " ".join(found.verdicts)
    uneven = compare([e for e in found.entries if e.choice == "a" or e.seed == 0], quick())
    assert uneven.verdicts[1].startswith("Seeds are missing of b:")


def test_costs_are_set_against_the_gain() -> None:
    rng = np.random.default_rng(0)
    a, b = Truth(seed=0.0).draw(rng, (0.1, 0.0), 30, 2)
    entries = [
        *entries_of({"a": a}, cost={"train_seconds": 111.0, "parameters": 300.0}),
        *entries_of({"b": b}, cost={"train_seconds": 100.0, "parameters": 100.0}),
    ]
    text = " ".join(compare(entries, quick()).verdicts)
    assert "a beats b on WT by" in text
    assert "costs 11 % more training time and 3.0 times the parameters." in text


def test_a_cost_that_differs_as_much_between_runs_of_a_choice_is_not_told() -> None:
    rng = np.random.default_rng(0)
    values = Truth(seed=0.0).draw(rng, (0.0, 0.0), 30, 2)
    seconds = {"a": (100.0, 140.0), "b": (90.0, 101.0)}
    entries = [
        one
        for (name, each), scores in zip(seconds.items(), values, strict=True)
        for one, took in zip(entries_of({name: scores}), each, strict=True)
        for one in [replace(one, cost={"train_seconds": took, "parameters": ord(name) * 1.0})]
    ]
    text = " ".join(compare(entries, quick()).verdicts)
    assert "training time" not in text
    seconds["b"] = (90.0, 99.0)
    entries = [
        replace(one, cost={"train_seconds": seconds[one.choice][one.seed]}) for one in entries
    ]
    assert "% more training time" in " ".join(compare(entries, quick()).verdicts)


def test_the_loser_is_not_the_subject_and_a_lost_region_is_told() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(0.8, 0.05, 40)
    noise = rng.normal(0, 0.01, (2, 2, 40, 2))
    columns = {
        "a": {("WT", "dice"): 0.00, ("TC", "dice"): 0.05, ("ET", "dice"): 0.0},
        "b": {("WT", "dice"): 0.02, ("TC", "dice"): 0.00, ("ET", "dice"): 0.0},
    }
    entries = [
        entry(
            f"{name}{seed}",
            name,
            seed,
            {
                key: shared + effect + noise[i, seed % 2, :, 0] * (1 + 0.1 * k)
                for k, (key, effect) in enumerate(effects.items())
            },
        )
        for i, (name, effects) in enumerate(columns.items())
        for seed in (0, 1)
    ]
    found = compare(entries, quick(baseline="b"))
    text = next(line for line in found.verdicts if "beats" in line)
    assert text.startswith("a beats b on TC by 0.0")
    assert "loses to b on WT by 0.0" in text
    assert "no difference in Dice shown on ET" in text
    assert found.baseline == "b"
    for claim in re.findall(r"by ([\d.]+) Dice \[([−\d.]+), ([−\d.]+)\]", text):
        size, low, high = (float(part.replace("−", "-")) for part in claim)
        assert 0 < low < size < high


def test_distances_are_told_in_mm() -> None:
    rng = np.random.default_rng(0)
    near = rng.normal(3, 0.5, (30, 2))
    entries = entries_of({"near": near, "far": near + 4 + rng.normal(0, 1, (30, 2))}, metric="hd95")
    text = " ".join(compare(entries, quick(metrics=("hd95",))).verdicts)
    assert re.search(
        r"near beats far on WT by [34]\.\d mm HD95 \[[34]\.\d, [45]\.\d\], p < \.001", text
    )


def test_too_few_patients_are_told() -> None:
    found = made({"a": 0.1, "b": 0.0}, patients=1)
    text = " ".join(found.verdicts)
    assert "No difference in Dice is shown" in text
    assert "too few patients for any test" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0004, "p < .001"), (0.0042, "p = .004"), (0.3, "p = .30"), (1.0, "p = 1")],
)
def test_p_values_as_papers_write_them(value: float, text: str) -> None:
    assert p_text(value) == text


def test_numbers_are_rounded_sensibly() -> None:
    assert number(0.0312, "dice") == "0.031"
    assert number(-0.0312, "dice") == "−0.031"
    assert number(12.345, "hd95") == "12.3"
    assert number(0.0002, "dice") == "0.0002"
    assert number(0.0, "dice") == "0.000"
    assert number(-1e-9, "dice") == "0.0000"
    assert (percent(0.999), percent(1.0), percent(0.001)) == (
        "more than 99 %",
        "100 %",
        "less than 1 %",
    )
    assert listed(["WT", "TC", "ET"]) == "WT, TC and ET"


def test_a_sentence_begins_with_what_is_claimed() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(0.8, 0.1, (30, 1))
    entries = [
        entry(
            f"{name}{seed}",
            name,
            seed,
            {
                ("WT", "dice"): shared[:, 0] + rng.normal(0, 0.01, 30),
                ("WT", "hd95"): offset + rng.normal(0, 0.5, 30),
            },
        )
        for name, offset in (("near", 3.0), ("far", 9.0))
        for seed in (0, 1)
    ]
    found = compare(entries, quick(metrics=("dice", "hd95"))).verdicts
    (text,) = (line for line in found if "beats" in line)
    assert re.match(r"near beats far on WT by .* HD95 .*; no difference shown in Dice", text)
