"""Each check on cases that are ordinary but for one thing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_cases import BRIGHTNESS, SPACING, Made, write

from lightning_brats.audit.flags import Flag, find_flags
from lightning_brats.audit.remarks import remarks, verdict
from lightning_brats.audit.rows import Findings, read_findings
from lightning_brats.data.case import Volume
from lightning_brats.data.duplicates import Twin, find_duplicates
from lightning_brats.errors import DataError
from lightning_brats.labels import SCHEMES, LabelScheme


def audit(folder: Path, *cases: Made) -> tuple[Findings, list[Flag], list[Twin]]:
    found = read_findings([write(folder, made) for made in cases])
    table = found.table
    twins = find_duplicates(list(table["case"]), list(table["patient"]), found.fingerprints)
    return found, find_flags(found, twins), twins


def ordinary(count: int, cohort: str = "A", **changes) -> list[Made]:
    return [Made(f"{cohort}{i}", cohort=cohort, **changes) for i in range(count)]


def test_ordinary_cases_have_no_flag(tmp_path: Path) -> None:
    found, flags, twins = audit(tmp_path, *ordinary(3), Made("u", tumour=None))
    assert (flags, twins) == ([], [])
    assert found.modalities == ["t1n", "t1c", "t2w", "t2f"]
    assert remarks(found, twins) == ["1 case without a mask: only to be predicted."]
    assert verdict(found, flags, twins, []) == "4 cases can be used. No case looks suspicious."


def test_the_table_by_hand(tmp_path: Path) -> None:
    found, _, _ = audit(tmp_path, Made("BraTS-GLI-00001-004", "p", spacing=(10, 8, 5)))
    row = found.table.iloc[0]
    assert (row["case"], row["patient"], row["cohort"]) == ("BraTS-GLI-00001-004", "p", "A")
    assert (row["shape"], row["spacing"], row["orientation"]) == ("20×22×18", "10×8×5", "LPS")
    assert (row["time_point"], row["modalities"]) == (4, "t1n, t1c, t2w, t2f")
    assert row["coding"] == "1 NETC, 2 SNFH, 3 ET"
    assert row["WT_ml"] == pytest.approx(row["NETC_ml"] + row["SNFH_ml"] + row["ET_ml"], rel=1e-4)
    assert row["t1c_p0.1"] < row["t1c_p50"] < row["t1c_p99.9"]


@pytest.mark.parametrize(
    ("made", "kind", "words"),
    [
        (Made("x", tumour=()), "tumour", "the mask has no tumour"),  # type: ignore[arg-type]
        (Made("x", spacing=(1.0,) * 3), "brain", "a brain of 3 ml"),
        (Made("x", spacing=(5, 5, 15)), "geometry", "thick slices: voxels of 5×5×15 mm"),
        (Made("x", tumour=(0.95, 0.2, 0.1)), "tumour", "the tumour is"),
        (
            Made("x", brightness=BRIGHTNESS | {"t1n": BRIGHTNESS["t1c"], "t1c": (-1, -2, 0)}),
            "intensity",
            "the enhancing tumour is brighter on t1n",
        ),
        (
            Made("x", brightness=BRIGHTNESS | {"t2f": (1, -2, 2)}),
            "intensity",
            "the oedema is darker than the brain on t2f",
        ),
    ],
)
def test_what_a_person_should_look_at(tmp_path: Path, made: Made, kind: str, words: str) -> None:
    _, flags, _ = audit(tmp_path, made, *ordinary(2))
    (found,) = [flag for flag in flags if flag.text.startswith(words)]
    assert (found.case, found.kind, found.look) == ("x", kind, True)
    assert {flag.case for flag in flags if flag.look} == {"x"}


def _moved(volume: Volume) -> Volume:
    assert volume.mask is not None
    return replace(volume, mask=np.roll(volume.mask, 6, 0))


def _flat(volume: Volume) -> Volume:
    image = volume.image.copy()
    image[0] = np.where(volume.brain, 900.0, 0)
    image[0][10, 10, 8:10] = 950
    return replace(volume, image=image)


def _negative(volume: Volume) -> Volume:
    return replace(volume, image=volume.image - 900 * volume.brain)


def test_tumour_outside_the_brain_in_part(tmp_path: Path) -> None:
    found, flags, _ = audit(tmp_path, Made("x", change=_moved), *ordinary(2))
    (flag,) = flags
    share = found.table["outside_ml"][0] / found.table["WT_ml"][0]
    assert 0.05 < share < 1
    assert flag.text.startswith(f"{share:.0%} of the tumour (")


def test_flat_and_negative_intensities(tmp_path: Path) -> None:
    _, flags, _ = audit(tmp_path, Made("f", change=_flat), Made("n", change=_negative))
    flat = [flag for flag in flags if flag.text == "t1n has one value in half of the brain"]
    assert [(flag.case, flag.look) for flag in flat] == [("f", True)]
    negative = [flag for flag in flags if flag.text.startswith("negative intensities")]
    assert [(flag.case, flag.look, flag.kind) for flag in negative] == [("n", False, "intensity")]


def test_grids_are_compared_within_a_cohort(tmp_path: Path) -> None:
    usual = ordinary(5) + ordinary(5, "B", axes=(1, 1, 1), spacing=(6.0,) * 3)
    odd = [Made("o", axes=(1, 1, 1)), Made("s", spacing=(7.0,) * 3)]
    found, flags, _ = audit(tmp_path, *usual, *odd)
    assert {(f.case, f.kind, f.look) for f in flags} == {
        ("o", "orientation", False),
        ("s", "geometry", True),
    }
    texts = {flag.case: flag.text for flag in flags}
    assert texts["o"] == "orientation RAS; 86% of the cohort have LPS"
    assert texts["s"] == f"spacing 7×7×7 mm a voxel; 86% of the cohort have {SPACING}×7.2×7.2"
    assert remarks(found, [])[0].startswith("2 stored orientations: LPS (6), RAS (6); each case")


def test_a_mixed_cohort_has_no_usual_grid(tmp_path: Path) -> None:
    made = [Made(f"c{i}", spacing=(6 + i / 10,) * 3) for i in range(4)]
    assert audit(tmp_path, *made)[1] == []


def test_brain_volume_far_from_the_cohort(tmp_path: Path) -> None:
    cohort = [Made(f"c{i}", spacing=(7 + 0.01 * (i % 5),) * 3) for i in range(21)]
    _, flags, _ = audit(tmp_path, *cohort, Made("x", spacing=(8.0,) * 3))
    brains = [flag for flag in flags if flag.kind == "brain"]
    assert [flag.case for flag in brains] == ["x"]
    assert "SD from the cohort's median" in brains[0].text


def test_near_identical_cases_name_each_other(tmp_path: Path) -> None:
    made = [Made("a", look=1), Made("b", look=1, cohort="B"), Made("c")]
    found, flags, twins = audit(tmp_path, *made, Made("d", "a", look=1))
    by_case = {flag.case: flag for flag in flags if flag.kind == "duplicate"}
    assert set(by_case) == {"a", "b", "d"}
    assert by_case["b"].text == "near-identical images: a (likeness 1.0000)"
    assert "the same images as a, which is said to be another examination" in by_case["d"].text
    (joined,) = [text for text in remarks(found, twins) if "share examinations" in text]
    assert joined.startswith("2 patients share")
    words = verdict(found, flags, twins, [DataError("bad", case="z")])
    assert words == (
        "4 cases of 3 patients from 2 cohorts can be used; 1 had to be left out. 3 cases deserve a "
        "look. 1 pair of different patients has near-identical images."
    )


def test_a_mirrored_copy_is_said_to_be_one(tmp_path: Path) -> None:
    made = [Made("a", look=1), Made("b", look=1, axes=(1, 1, 1))]
    _, flags, _ = audit(tmp_path, *made)
    assert all("; mirrored, so the orientation" in flag.text for flag in flags if flag.look)
    assert sum(flag.look for flag in flags) == 2


def test_a_patient_whose_brain_changes_size(tmp_path: Path) -> None:
    made = [Made("p-0", "p"), Made("p-1", "p", spacing=(6.2,) * 3), Made("q-0", "q")]
    _, flags, _ = audit(tmp_path, *made)
    flags = [flag for flag in flags if flag.kind == "time points"]
    assert [flag.case for flag in flags] == ["p-0", "p-1"]
    assert "in p-1: is this still patient p?" in flags[0].text


def test_remarks_on_labels(tmp_path: Path) -> None:
    no_core = [Made(f"n{i}", cohort="N", tumour=(0.5, 0.35, 0)) for i in range(5)]
    old = LabelScheme("old", {1: 1, 2: 2, 4: 3})
    post = Made("post", cohort="P", scheme=SCHEMES["brats2024"])
    found, _, _ = audit(tmp_path, *no_core, Made("old", cohort="O", scheme=old), post)
    first, *others = remarks(found, [])
    assert first.startswith("No mask of cohort N has NETC, though its label coding does")
    assert any(text.startswith("Label 4 means ET and RC in different") for text in others)


def test_a_case_prepared_without_statistics_is_named(tmp_path: Path) -> None:
    entry = write(tmp_path, Made("a"))
    meta = entry.folder / "meta.json"
    meta.write_text(meta.read_text().replace('"statistics"', '"nothing"'))
    with pytest.raises(DataError, match="Case a: it was prepared without its statistics"):
        read_findings([type(entry)(entry.folder)])
