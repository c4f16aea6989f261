"""Tuning of post-processing where the best setting is known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lightning_brats.errors import DataError
from lightning_brats.labels import ET, NETC, SNFH
from lightning_brats.postprocess import DropSmall, Grid, Hierarchy, Postprocess, TuningCase, tune

REGIONS = ("WT", "TC", "ET")
MM = (1.0, 1.0, 1.0)


def dice(reference: np.ndarray, predicted: np.ndarray, spacing: object) -> float:
    total = reference.sum() + predicted.sum()
    return 2 * (reference & predicted).sum() / total if total else 1.0


def tuning_case(seed: int) -> TuningCase:
    """Tumour at a probability of 0.45, false specks of 8 voxels at 0.9, noise below 0.35."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((24, 24, 24), np.uint8)
    labels[4:14, 4:14, 4:14] = SNFH
    labels[6:12, 6:12, 6:12] = NETC
    labels[8:11, 8:11, 8:11] = ET
    p = rng.random((3, 24, 24, 24)) * 0.35
    p[0][labels > 0] = 0.45
    p[1][(labels == NETC) | (labels == ET)] = 0.8
    p[2][labels == ET] = 0.8
    p[:2, 18:20, 18:20, 18:20] = 0.9
    return TuningCase(p.astype(np.float16), labels, MM)


def test_tuning_finds_the_threshold_and_the_size() -> None:
    cases = [tuning_case(seed) for seed in range(2)]
    base = Postprocess([Hierarchy()])
    tuned = tune(iter(cases), REGIONS, "regions", dice, base, Grid((0.2, 0.4, 0.5), (0, 5, 10)))
    # At a threshold of 0.5, whole tumour is the speck alone, and the core is clipped to it.
    assert tuned.after == pytest.approx(1)
    assert tuned.gain == pytest.approx(tuned.after - tuned.before)
    assert tuned.before < 0.9
    assert tuned.postprocess.thresholds(REGIONS)["WT"] == 0.4
    for case in cases:  # the whole volume, not only the crop that was searched
        found = tuned.postprocess(case.probabilities, MM, REGIONS, "regions")
        assert np.array_equal(found, case.labels)
    stored = json.loads(json.dumps(tuned.postprocess.to_dict()))
    assert Postprocess.from_dict(stored) == tuned.postprocess


def test_tuning_returns_the_start_where_nothing_is_better() -> None:
    case = tuning_case(0)
    perfect = np.stack([case.labels > 0, np.isin(case.labels, (NETC, ET)), case.labels == ET])
    base = Postprocess([DropSmall(20), Hierarchy()], threshold={"WT": 0.6})
    cases = [TuningCase(perfect.astype(np.float16), case.labels, MM)]
    tuned = tune(cases, REGIONS, "regions", dice, base)
    assert tuned.postprocess is base
    assert (tuned.before, tuned.gain) == (1, 0)


def test_tuning_a_labels_head_starts_from_the_most_probable_label() -> None:
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[2:5, 2:5, 2:5] = SNFH
    p = np.zeros((4, 8, 8, 8), np.float32)
    p[0] = 1
    p[:, labels == SNFH] = np.array([0.45, 0.2, 0.35, 0.0])[:, None]
    only = [TuningCase(p, labels, MM)]
    tuned = tune(only, ["WT"], "labels", dice, grid=Grid((0.3, 0.5), (0,)))
    assert (tuned.before, tuned.after) == (0, 1)
    assert np.array_equal(tuned.postprocess(p, MM, ["WT"], "labels"), labels)


def test_tuning_needs_cases_and_scores() -> None:
    with pytest.raises(DataError, match="no case"):
        tune([], REGIONS, "regions", dice)
    with pytest.raises(DataError, match="no case"):
        tune([tuning_case(0)], REGIONS, "regions", lambda *pair: np.nan)
