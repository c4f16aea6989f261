"""Every method on a tiny phantom, from fitting to a comparison."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from lightning_brats.baselines.command import check_modalities, configure, new_folder, run
from lightning_brats.baselines.scan import Baseline, Scan
from lightning_brats.baselines.segmenting import clean
from lightning_brats.comparison import load_entries
from lightning_brats.data.datamodule import from_files
from lightning_brats.data.phantom import write_phantom
from lightning_brats.data.preprocess import Prepared, Preprocess
from lightning_brats.data.sources import load_cases
from lightning_brats.errors import ConfigError
from lightning_brats.evaluation import evaluate, write_scores
from lightning_brats.labels import MODALITIES, REGIONS
from lightning_brats.parts import build

pytestmark = pytest.mark.slow

METHODS = (
    "thresholding",
    "region_growing",
    "kmeans",
    "fuzzy_c_means",
    "random_forest",
    "linear_svm",
)
FAST = {
    "thresholding": ("method.flair_classes=[3,5]", "method.t1c_classes=[3,5]"),
    "region_growing": ("method.reaches=[0.4,0.6,0.8]",),
    "random_forest": ("method.trees=10", "method.voxels=8000", "method.threads=1"),
    "linear_svm": ("method.voxels=8000",),
    "kmeans": ("method.voxels=5000",),
    "fuzzy_c_means": ("method.voxels=5000",),
}
RUN = ("kmeans", "linear_svm")
"""Methods that are run from end to end here; the others differ in nothing but the method."""


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("baselines") / "phantom"
    return write_phantom(root, layout="brats2021", cases=8, spacing=4.0)


@pytest.fixture(scope="module")
def prepared(phantom: Path) -> list[Prepared]:
    return [from_files(Preprocess(), case) for case in load_cases(root=phantom).cases]


@pytest.fixture(scope="module")
def finished(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    runs, cache = (tmp_path_factory.mktemp(name) for name in ("runs", "prepared"))
    return {name: start(name, phantom, runs, f"data.cache={cache}") for name in RUN}


@pytest.fixture(scope="module")
def masks(prepared: list[Prepared]) -> dict[str, list[np.ndarray]]:
    return {name: segmented(name, prepared) for name in METHODS}


def start(method: str, root: Path, runs: Path, *overrides: str) -> Path:
    given = (f"method={method}", f"data.root={root}", f"runs={runs}", "split.test=0.4")
    return run(configure(*given, *FAST.get(method, ()), *overrides))


def segmented(method: str, prepared: list[Prepared], seed: int = 0) -> list[np.ndarray]:
    """Cleaned labels of the last three cases, by a method that was fitted on the others."""
    cfg = configure(f"method={method}", *FAST.get(method, ()))
    fitted: Baseline = build(cfg.method)
    fitted.fit([Scan.of(each, MODALITIES, labelled=True) for each in prepared[:-3]], seed)
    found = []
    for each in prepared[-3:]:
        labels = fitted.segment(Scan.of(each, MODALITIES, labelled=False))
        regions = ("WT", "TC", "ET")
        found.append(clean(labels, each.geometry, build(cfg.postprocess), regions)[0])
    return found


def chance(brain: np.ndarray, reference: np.ndarray, volume: int) -> float:
    """Expected Dice of a mask of this volume whose voxels lie anywhere in the brain."""
    hits = volume * (reference & brain).sum() / brain.sum()
    return float(2 * hits / (volume + reference.sum()))


@pytest.mark.parametrize("method", METHODS)
def test_the_whole_tumour_is_found_better_than_by_chance(
    method: str, prepared: list[Prepared], masks: dict[str, list[np.ndarray]]
) -> None:
    reached, expected = [], []
    for each, labels in zip(prepared[-3:], masks[method], strict=True):
        assert each.mask is not None
        reference, mask = (np.isin(found, REGIONS["WT"]) for found in (each.mask, labels))
        reached.append(2 * (reference & mask).sum() / (reference.sum() + mask.sum()))
        expected.append(chance((each.image != 0).any(0), reference, int(mask.sum())))
    # Tumours are small: by chance it is a tenth or less.
    assert np.mean(expected) < 0.12
    assert np.mean(reached) > 3 * np.mean(expected)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_masks(
    method: str, prepared: list[Prepared], masks: dict[str, list[np.ndarray]]
) -> None:
    again = zip(masks[method], segmented(method, prepared), strict=True)
    assert all(np.array_equal(one, other) for one, other in again)


def test_the_level_of_chance_is_what_simulation_gives() -> None:
    rng = np.random.default_rng(0)
    brain = np.zeros(5000, bool)
    brain[:4000] = True
    reference = np.zeros(5000, bool)
    reference[:400] = True
    found = []
    for _ in range(400):
        mask = np.zeros(5000, bool)
        mask[rng.choice(4000, 600, replace=False)] = True
        found.append(2 * (mask & reference).sum() / 1000)
    assert chance(brain, reference, 600) == pytest.approx(np.mean(found), rel=0.02)


@pytest.mark.parametrize("method", RUN)
def test_a_run_leaves_what_a_network_s_run_leaves(method: str, finished: dict[str, Path]) -> None:
    folder = finished[method]
    assert folder.parent.name == method
    for name in ("config.yaml", "environment.json", "split.json", "report.html", "evaluation.csv"):
        assert (folder / name).stat().st_size > 0
    summary = json.loads((folder / "summary.json").read_text())
    scores = pd.read_csv(folder / "evaluation.csv")
    by_hand = scores.query("metric == 'dice' and region == 'WT'")["value"].mean()
    assert summary["regions"]["WT"]["dice"] == pytest.approx(by_hand)
    assert summary["train_seconds"] >= 0
    assert summary["inference_seconds_per_case"] > 0
    assert summary["model"] == method
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["versions"]["scikit-learn"]


def test_masks_lie_on_the_input_s_grid_in_its_coding(
    finished: dict[str, Path], phantom: Path
) -> None:
    cases = {case.case: case for case in load_cases(root=phantom).cases}
    folder = finished["linear_svm"]
    split = json.loads((folder / "split.json").read_text())
    tested = [case for group in split["test"].values() for case in group]
    assert sorted(p.name for p in (folder / "predictions").iterdir()) == sorted(
        f"{case}.nii.gz" for case in tested
    )
    for case in tested:
        saved = nib.load(folder / "predictions" / f"{case}.nii.gz")
        source = nib.load(cases[case].images["t1c"].path)
        assert saved.shape == source.shape
        assert np.allclose(saved.affine, source.affine)
        assert set(np.unique(np.asarray(saved.dataobj))) <= {0, 1, 2, 4}


@pytest.mark.parametrize("method", METHODS[:4])
def test_a_missing_modality_is_named(method: str, phantom: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{method}.*needs t2f and t1c.*t2f is missing"):
        start(method, phantom, tmp_path, "data.modalities=[t1n,t1c]")


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_from_end_to_end(method: str, phantom: Path, tmp_path: Path) -> None:
    assert (start(method, phantom, tmp_path) / "report.html").exists()


@pytest.mark.parametrize("method", METHODS[4:])
def test_what_is_learnt_takes_what_there_is(method: str, phantom: Path) -> None:
    cfg = configure(f"method={method}")
    check_modalities(method, build(cfg.method), load_cases(root=phantom, modalities=["t1n"]))


def test_tuned_postprocessing_is_refused(phantom: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gives labels"):
        start("kmeans", phantom, tmp_path, "postprocess=tuned")


@pytest.mark.slow
def test_a_fold_segments_its_validation_cases_too(phantom: Path, tmp_path: Path) -> None:
    folder = start("thresholding", phantom, tmp_path, "fold=1", "folds=3", "split.test=0.25")
    split = json.loads((folder / "split.json").read_text())
    validated = {case for group in split["validation"].values() for case in group}
    scores = pd.read_csv(folder / "predictions_validation" / "evaluation.csv")
    assert set(scores["case"]) == validated


def test_two_runs_in_one_second_get_two_folders(phantom: Path, tmp_path: Path) -> None:
    cfg = configure(f"runs={tmp_path}")
    assert len({new_folder(cfg) for _ in range(3)}) == 3


def test_runs_are_compared_with_a_network_s_scored_folder(
    finished: dict[str, Path], phantom: Path, tmp_path: Path
) -> None:
    cases = {case.case: case for case in load_cases(root=phantom).cases}
    network = tmp_path / "network"
    tested = [
        cases[path.name.removesuffix(".nii.gz")]
        for path in sorted((finished["kmeans"] / "predictions").iterdir())
    ]
    write_scores(evaluate(finished["linear_svm"] / "predictions", tested), network)
    entries = load_entries([finished["kmeans"], finished["linear_svm"], network])
    assert [entry.choice for entry in entries] == ["kmeans", "linear_svm", "network"]
    assert len({entry.test_cases for entry in entries}) == 1
    known = entries[0]
    assert known.cost["inference_seconds_per_case"] > 0
    assert known.train_cases.isdisjoint(known.test_cases)
    assert known.facts["data_fingerprint"] == entries[1].facts["data_fingerprint"]
