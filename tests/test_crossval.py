"""Folds that cover the data once, and their scores as one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import write_case
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from test_experiment import configure

from lightning_brats import experiment
from lightning_brats.crossval import StoredEnsemble, combine, out_of_fold
from lightning_brats.crossval.folds import MASKS
from lightning_brats.data.cache import Cache
from lightning_brats.data.phantom import write_phantom
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.splits import Split
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.evaluation import command
from lightning_brats.labels import SCHEMES, region_masks
from lightning_brats.metrics import score_case
from lightning_brats.postprocess import Grid, Hierarchy, Postprocess
from lightning_brats.prediction import Segmenter, find_checkpoints, load_models
from lightning_brats.prediction.models import ensemble_postprocess
from lightning_brats.preparation import fingerprint
from lightning_brats.runs import RUN_VARIABLE
from lightning_brats.tuning_run import Tuning, _cut, kept_cases, search

FOLDS = 2
REGIONS = ("WT", "TC", "ET")


def read(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


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
    options = (
        f"data.root={root}",
        "model=fcnn",
        "trainer.max_epochs=1",
        f"folds={FOLDS}",
        "postprocess=tuned",
    )
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
    listed = find_checkpoints(str(tmp_path / "all"))
    assert listed == [(run / "checkpoints" / "best.ckpt").resolve() for run in runs]
    assert len(load_models(listed)) == FOLDS


def test_the_ensemble_is_tuned_on_all_out_of_fold_cases(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    combine(runs, tmp_path / "all")
    assert "tuned on 5 out-of-fold cases" in capsys.readouterr().out
    stored = json.loads((tmp_path / "all" / "postprocess.json").read_text())
    assert stored["validation_cases"] == 5
    chosen = ensemble_postprocess(str(tmp_path / "all"))
    assert chosen == ensemble_postprocess([str(tmp_path / "all" / "ensemble.json")])
    assert chosen is not None
    assert chosen.to_dict() == stored["postprocess"]
    # The stored mean is that of an independent pass over what the folds kept.
    dice = []
    for run in runs:
        assert {p.stem for p in (run / "probabilities").iterdir()} == set(
            Split.load(run / "split.json").validation
        )
        for case in kept_cases(run / "probabilities"):
            found = chosen(case.probabilities, case.spacing, REGIONS, "regions")
            pairs = zip(*(region_masks(v, REGIONS) for v in (case.labels, found)), strict=True)
            for a, b in pairs:
                dice.append(2 * (a & b).sum() / (a.sum() + b.sum()) if a.any() or b.any() else 1)
    assert stored["after"] == pytest.approx(np.mean(dice))
    models = load_models(find_checkpoints(str(tmp_path / "all")), chosen)
    assert Segmenter(models).postprocess == chosen


def test_what_a_fold_keeps_gives_the_choice_that_whole_volumes_give(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[10:16, 10:16, 10:16] = 2
    p = np.where(labels > 0, 0.45, 0.25 * rng.random(labels.shape))
    p[20:22, 20:22, 20:22] = 0.9
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    tuning = Tuning(Postprocess(), grid=Grid((0.3, 0.5), (0, 20)))
    found = []
    for folder in (whole, cut):
        folder.mkdir()
        path = folder / "a.npz"
        soft = np.stack([p] * 3).astype(np.float16)
        np.savez(path, probabilities=soft, labels=labels, spacing=np.ones(3))
        if folder is cut:
            _cut(folder, tuning, REGIONS, "regions")
            (case,) = kept_cases(folder)
            assert case.labels.shape == (16, 16, 16)  # voxels 10 to 22, and two around them
        found.append(search([folder], tmp_path, tuning, REGIONS, "regions"))
    assert found[0] == found[1]
    assert found[0].thresholds(["WT"])["WT"] == 0.3


def test_folds_without_probabilities_leave_the_choice_to_the_user(
    copies: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(copies[1] / "probabilities")
    combine(copies, tmp_path / "all")
    assert f"{copies[1]} has no probabilities/" in capsys.readouterr().out
    assert ensemble_postprocess(str(tmp_path / "all")) is None
    checkpoint = copies[0] / "checkpoints" / "best.ckpt"
    content = torch.load(checkpoint, weights_only=True)
    other = Postprocess([Hierarchy()], {"WT": 0.123})
    content["hyper_parameters"]["context"]["postprocess"] = other.to_dict()
    torch.save(content, checkpoint)
    with pytest.raises(ConfigError, match=r"evaluate\.py 'runs="):
        Segmenter(load_models(find_checkpoints(str(tmp_path / "all"))))


def test_folds_that_were_not_tuned_leave_post_processing_to_the_checkpoints(
    copies: list[Path], tmp_path: Path
) -> None:
    for number, run in enumerate(copies):
        config = OmegaConf.load(run / "config.yaml")
        config.postprocess = Postprocess([Hierarchy()]).to_dict()
        OmegaConf.save(config, run / "config.yaml")
        if number == 0:
            with pytest.raises(ConfigError, match="differ in how post-processing was tuned"):
                combine(copies, tmp_path / "all")
    combine(copies, tmp_path / "all")
    assert ensemble_postprocess(str(tmp_path / "all")) is None
    assert not (tmp_path / "all" / "postprocess.json").exists()


def test_a_damaged_ensemble_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ensemble.json"
    path.write_text("{")
    with pytest.raises(ConfigError, match="cannot be read") as error:
        find_checkpoints(str(tmp_path))
    assert str(path) in str(error.value)
    StoredEnsemble((tmp_path / "gone.ckpt",)).save(tmp_path)
    with pytest.raises(ConfigError, match=r"1 of the ensemble's 1 checkpoints.*gone\.ckpt"):
        find_checkpoints(str(tmp_path))


def test_the_command_joins_folds(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"runs=[{','.join(map(str, runs))}]", f"output={tmp_path / 'all'}"]
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        cfg = compose("evaluate", given)
    command.run(cfg)
    printed = capsys.readouterr().out
    assert "5 cases" in printed
    assert f"predict.py checkpoint={tmp_path / 'all'}" in printed
    assert (tmp_path / "all" / "evaluation.csv").exists()


def test_the_command_scores_folds_by_a_challenge_s_rules(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"runs=[{','.join(map(str, runs))}]", f"output={tmp_path}", "protocol=brats2023-gli"]
    given += ["report=false", "boundary=false"]
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        summary = command.run(compose("evaluate", given))
    assert "brats2023-gli: 5 cases" in capsys.readouterr().out
    assert summary["protocol"] == "brats2023-gli"
    scores = pd.read_csv(tmp_path / "evaluation.csv").set_index(["case", "region", "metric"])
    root = runs[0].parents[2] / "phantom"
    for run in runs:
        for case in Split.load(run / "split.json").validation:
            files = next(root.rglob(f"{case}_seg.nii.gz")), run / MASKS / f"{case}.nii.gz"
            reference, found = (SCHEMES["brats2018"].decode(read(file)) for file in files)
            expected = score_case(reference, found, (6.0, 6.0, 6.0), "brats2023-gli")
            for region, metrics in expected.items():
                for metric, value in metrics.items():
                    stored = scores.loc[(case, region, metric), "value"]
                    assert stored == pytest.approx(value, abs=1e-6), (case, region, metric)


def test_regions_to_score_can_be_chosen(runs: list[Path]) -> None:
    counted: list[tuple[int, int]] = []
    chosen = out_of_fold(runs, regions=["ET"], workers=1, progress=lambda *n: counted.append(n))
    assert counted == [(done, 5) for done in range(1, 6)]
    kept = out_of_fold(runs).query("region == 'ET'").reset_index(drop=True)
    pd.testing.assert_frame_equal(chosen, kept)


def test_data_that_moved_are_named(copies: list[Path]) -> None:
    config = OmegaConf.load(copies[0] / "config.yaml")
    config.data.root = "/no/such/folder"
    OmegaConf.save(config, copies[0] / "config.yaml")
    with pytest.raises(ConfigError, match=r"cannot be read again[\s\S]*predictions=") as error:
        out_of_fold(copies, "brats2023-gli")
    assert str(copies[0]) in str(error.value)
    next((copies[1] / MASKS).glob("*.nii.gz")).unlink()
    shutil.copy(copies[1] / "config.yaml", copies[0] / "config.yaml")
    with pytest.raises(DataError, match="has no mask of"):
        out_of_fold(copies, "brats2023-gli")


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
    sizes = cache.prepare(cases).volumes()
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
