"""Agreement with what the challenges' own programs printed; see tests/golden/README.md."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lightning_brats.metrics import PROTOCOLS, score_case

GOLDEN = Path(__file__).parents[1] / "golden"
PROTOCOL = {
    "gli2023": "brats2023-gli",
    "men2023": "brats2023-men",
    "met2023": "brats2023-met",
    "gli2024": "brats2024-gli",
}
DISTANCES = {"LesionWise_Score_HD95": "lesion_hd95", "Legacy_HD95": "hd95"}
EXACT = {
    "LesionWise_Score_Dice": "lesion_dice",
    "Legacy_Dice": "dice",
    "Num_TP": "lesion_tp",
    "Num_FP": "lesion_fp",
    "Num_FN": "lesion_fn",
    "GT_Complete_Volume": "volume_reference",
    "Pred_Complete_Volume": "volume_prediction",
    "Sensitivity": "sensitivity",
    "Specificity": "specificity",
    "Legacy NSD @ 0.5": "nsd_0.5",
    "Legacy NSD @ 1.0": "nsd_1.0",
    "LesionWise_Score_NSD @ 0.5": "lesion_nsd_0.5",
    "LesionWise_Score_NSD @ 1.0": "lesion_nsd_1.0",
}
NOT_REFERENCES = {"gli2024": ("Sensitivity", "Specificity", "Legacy_HD95")}
"""Computed from numbered lesions instead of masks by the program of 2024."""
FILES = sorted((GOLDEN / "expected").glob("*2???.c*.json"))


def paths(case: str) -> tuple[Path, Path]:
    return GOLDEN / f"{case}-gt.nii.gz", GOLDEN / f"{case}-pred.nii.gz"


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_regions_and_lesions(file: Path) -> None:
    challenge, case = file.stem.split(".")
    expected = json.loads(file.read_text())["regions"]
    protocol = PROTOCOL[challenge]
    scores, rows = score_case(*paths(case), protocol=protocol, lesions=True)
    assert set(scores) == set(expected)
    for region, values in expected.items():
        skipped = NOT_REFERENCES.get(challenge, ())
        for theirs, ours in (EXACT | DISTANCES).items():
            if theirs in values and theirs not in skipped:
                value = scores[region][ours]
                if np.isinf(value):
                    value = PROTOCOLS[protocol].penalty
                tolerance = 1e-4 if theirs in DISTANCES else 1e-6
                assert value == pytest.approx(values[theirs], abs=tolerance), (region, ours)
        ours_rows = [r for r in rows if r.region == region and r.status != "fp"]
        for row, lesion in zip(ours_rows, values["lesions"], strict=True):
            assert row.number == lesion["gt_lesion"]
            assert row.partners == lesion["n_pred_components"]
            assert row.volume == pytest.approx(lesion["gt_lesion_vol"], abs=1e-6)
            assert row.dice == pytest.approx(lesion["dice"], abs=1e-6)
            if lesion["hd95"] != "inf":
                assert row.hd95 == pytest.approx(lesion["hd95"], abs=1e-4)
            if "nsd05" in lesion:
                found = row.nsd_05, row.nsd_10
                assert found == pytest.approx((lesion["nsd05"], lesion["nsd10"]), abs=1e-6)


def test_all_pairs_are_there() -> None:
    assert len(FILES) == 16


@pytest.mark.parametrize("case", ["c03_missed_spurious", "c05_empty_et_gt", "c11_anisotropic"])
def test_the_anisotropic_and_the_plain_files_tell_their_spacing(case: str) -> None:
    arrays = [np.asanyarray(nib.load(path).dataobj) for path in paths(case)]
    spacing = tuple(float(z) for z in nib.load(paths(case)[0]).header.get_zooms())
    assert score_case(*arrays, spacing) == score_case(*paths(case))


@pytest.mark.parametrize(
    ("case", "expected"), json.loads((GOLDEN / "expected" / "gli2026.json").read_text()).items()
)
def test_instances_of_2026(case: str, expected: dict) -> None:
    scores = score_case(*paths(case), protocol="brats2026-gli")
    names = {"global_dsc": "dice"} | {
        f"all_instance_{k}": f"instance_{k}" for k in ("tp", "fp", "fn", "f1")
    }
    for key, value in expected.items():
        theirs, region = key.rsplit("_", 1)
        found = scores[region.upper()][names[theirs]]
        assert found == pytest.approx(np.nan if value is None else value, abs=1e-6, nan_ok=True)
