"""Folds that cover the data once, and their scores as one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from conftest import write_case
from hydra import compose, initialize_config_module
from test_experiment import configure

from lightning_brats import experiment
from lightning_brats.crossval import combine, out_of_fold
from lightning_brats.data.cache import Cache
from lightning_brats.data.phantom import write_phantom
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.splits import Split
from lightning_brats.errors import ConfigError
from lightning_brats.evaluation import command
from lightning_brats.prediction import find_checkpoints, load_models
from lightning_brats.preparation import fingerprint, tumour_volumes
from lightning_brats.runs import RUN_VARIABLE

FOLDS = 2


@pytest.fixture(autouse=True)
def forgotten_run() -> Iterator[None]:
    """Commands called by later tests must not go on in the folder of a run made here."""
    yield
    os.environ.pop(RUN_VARIABLE, None)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Both folds of a cross-validation, really trained."""
    work = tmp_path_factory.mktemp("work")
    root = write_phantom(work / "phantom", layout="brats2021", cases=6, spacing=6.0)
    patch = pytest.MonkeyPatch()
    patch.setenv("LIGHTNING_BRATS_CACHE", str(work / "cache"))
    patch.setenv("WANDB_MODE", "offline")
    options = (f"data.root={root}", "model=fcnn", "trainer.max_epochs=1", f"folds={FOLDS}")
    found = []
    for fold in range(FOLDS):
        folder = experiment.run(configure(work / f"fold{fold}", *options, f"fold={fold}"))
        found.append(folder)
    patch.undo()
    os.environ.pop(RUN_VARIABLE)
    return found


@pytest.fixture
def copies(runs: list[Path], tmp_path: Path) -> list[Path]:
    return [Path(shutil.copytree(run, tmp_path / str(i))) for i, run in enumerate(runs)]


def change(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_folds_are_disjoint_and_cover_all_but_the_test_cases(runs: list[Path]) -> None:
    first, second = (Split.load(run / "split.json") for run in runs)
    assert first.test == second.test
    assert not set(first.validation) & set(second.validation)
    assert set(first.validation) == set(second.train)
    assert set(second.validation) == set(first.train)
    assert len({*first.train, *first.validation, *first.test}) == 6
    summaries = [json.loads((run / "summary.json").read_text()) for run in runs]
    assert [(s["fold"], s["folds"]) for s in summaries] == [(0, 2), (1, 2)]
    assert summaries[0]["data_fingerprint"] == summaries[1]["data_fingerprint"]


def test_every_case_is_scored_once_by_the_run_that_did_not_train_on_it(runs: list[Path]) -> None:
    frame = out_of_fold(runs[::-1])
    splits = [Split.load(run / "split.json") for run in runs]
    assert set(frame["case"]) == {case for split in splits for case in split.validation}
    assert not frame.duplicated(["case", "region", "metric"]).any()
    for case, fold in frame[["case", "fold"]].drop_duplicates().itertuples(index=False):
        assert case not in splits[fold].train
        assert (runs[fold] / "predictions_validation" / f"{case}.nii.gz").exists()
    pd.testing.assert_frame_equal(frame, out_of_fold(runs))


def test_the_folds_make_one_summary_and_one_ensemble(runs: list[Path], tmp_path: Path) -> None:
    summary = combine(runs, tmp_path / "all")
    scores = pd.read_csv(tmp_path / "all" / "evaluation.csv")
    by_hand = scores.query("region == 'WT' and metric == 'dice'")["value"].mean()
    assert summary["regions"]["WT"]["dice"]["mean"] == pytest.approx(by_hand)
    assert summary["cases"] == 5
    assert json.loads((tmp_path / "all" / "summary.json").read_text()) == summary
    argument = (tmp_path / "all" / "ensemble.txt").read_text().strip()
    listed = argument.removeprefix("checkpoint=[").removesuffix("]").split(",")
    assert len(load_models(find_checkpoints(listed))) == FOLDS


def test_the_command_joins_folds(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"runs=[{','.join(map(str, runs))}]", f"output={tmp_path / 'all'}"]
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        cfg = compose("evaluate", given)
        other = compose("evaluate", [*given, "protocol=brats2023-gli"])
    command.run(cfg)
    printed = capsys.readouterr().out
    assert "5 cases" in printed
    assert "ensemble.txt" in printed
    assert (tmp_path / "all" / "evaluation.csv").exists()
    with pytest.raises(ConfigError, match="protocol=legacy"):
        command.run(other)


def test_runs_that_do_not_belong_together_are_refused(copies: list[Path]) -> None:
    first, second = copies
    with pytest.raises(ConfigError, match="fold 1 of 2 is missing"):
        out_of_fold([first])
    with pytest.raises(ConfigError, match="fold 0 of 2 is given twice"):
        out_of_fold([first, first])
    with pytest.raises(ConfigError, match="no run is named"):
        out_of_fold([])
    with pytest.raises(ConfigError, match=r"not a finished run.*split\.json"):
        out_of_fold([first, second / "nowhere"])
    (second / "predictions_validation" / "evaluation.parquet").unlink()
    with pytest.raises(ConfigError, match=r"not a finished run.*evaluation\.parquet"):
        out_of_fold(copies)


@pytest.mark.parametrize(
    ("file", "values", "words"),
    [
        ("summary.json", {"data_fingerprint": "other"}, "differ in the data"),
        ("summary.json", {"model": "other"}, "differ in the model"),
        ("split.json", {"seed": 7}, "differ in the seed"),
        ("split.json", {"folds": 3}, "differ in the number of folds"),
        ("split.json", {"test": []}, "differ in the test cases"),
        ("split.json", {"fold": None}, "not a fold"),
        ("split.json", {"validation": []}, "not those of its validation cases"),
    ],
)
def test_what_differs_is_named(copies: list[Path], file: str, values: dict, words: str) -> None:
    change(copies[1] / file, **values)
    with pytest.raises(ConfigError, match=words):
        out_of_fold(copies)


def test_a_case_in_two_validation_parts_is_refused(copies: list[Path]) -> None:
    first = json.loads((copies[0] / "split.json").read_text())
    change(copies[1] / "split.json", validation=first["validation"], train=first["train"])
    scores = "predictions_validation/evaluation.parquet"
    shutil.copy(copies[0] / scores, copies[1] / scores)
    with pytest.raises(ConfigError, match="is validated on in"):
        out_of_fold(copies)


def test_a_fold_and_a_given_split_exclude_each_other(runs: list[Path], tmp_path: Path) -> None:
    config = json.loads((runs[0] / "split.json").read_text())
    assert config["fold"] == 0
    options = (f"data.root={runs[0].parents[2] / 'phantom'}", "fold=0")
    with pytest.raises(ConfigError, match="a split is given"):
        experiment.build(configure(tmp_path, *options, f"split.file={runs[0] / 'split.json'}"))


def test_size_and_fingerprint(tmp_path: Path) -> None:
    cases = [write_case(tmp_path / "a", f"case_{i}", seed=i) for i in range(2)]
    cache = Cache(tmp_path / "cache", Preprocess())
    cache.prepare(cases)
    sizes = tumour_volumes(cases, cache)
    for case in cases:
        entry = cache.get(case).mask
        assert entry is not None
        assert sizes[case.case] == pytest.approx((entry > 0).sum() / 1000)  # voxels of 1 mm³
    found = fingerprint(cases, cache)
    assert fingerprint(cases[::-1], cache) == found
    copied = [write_case(tmp_path / "b", f"case_{i}", seed=i) for i in range(2)]
    other = Cache(tmp_path / "other", Preprocess(margin=2))
    other.prepare(copied)
    assert fingerprint(copied, other) == found
    fewer = [case.with_modalities(["t1n", "t2f"]) for case in cases]
    cache.prepare(fewer)
    assert len({found, fingerprint(cases[:1], cache), fingerprint(fewer, cache)}) == 3
