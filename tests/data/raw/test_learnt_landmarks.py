"""Landmarks learnt within a run: from its training cases alone, the same as fitted ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import write_case

from lightning_brats.data.cache import Cache
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.raw.landmarks import fit_landmarks, learn_landmarks
from lightning_brats.data.splits import Split
from lightning_brats.errors import ConfigError
from lightning_brats.experiment import configure
from lightning_brats.labels import MODALITIES
from lightning_brats.landmarks import STORED, keep_landmarks, with_landmarks
from lightning_brats.preparation import find_source, prepare_source


@pytest.mark.parametrize("prepared", [Preprocess(), Preprocess("minmax")])
def test_prepared_cases_have_the_landmarks_of_their_files(
    tmp_path: Path, prepared: Preprocess
) -> None:
    cases = [write_case(tmp_path, f"c{i}", seed=i) for i in range(3)]
    wanted = fit_landmarks(cases, Preprocess())  # by TorchIO, from the files
    cache = Cache(tmp_path / "cache", prepared)
    found = learn_landmarks([cache.get(case) for case in cases], MODALITIES)
    for modality in MODALITIES:
        # Half precision rounds the prepared values.
        assert np.allclose(found[modality], wanted[modality], atol=0.15)


def test_auto_means_something_to_histograms_alone() -> None:
    assert Preprocess("zscore", landmarks="auto") == Preprocess()
    waiting = Preprocess("histogram", clip=(1, 99), landmarks="auto")
    assert waiting.provisional == Preprocess("zscore", clip=(1, 99))
    assert Preprocess().provisional == Preprocess()


def test_a_case_cannot_be_prepared_before_they_are_learnt(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="still to be learnt"):
        Preprocess("histogram", landmarks="auto").read(write_case(tmp_path))


@pytest.fixture
def settings(tmp_path: Path) -> list[str]:
    names = [f"BraTS2021_{i:05d}" for i in range(4)]
    for seed, name in enumerate(names):
        write_case(tmp_path / "data", name, seed=seed)
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": names[:2], "validation": names[2:3], "test": names[3:]}))
    return [
        f"data.root={tmp_path / 'data'}",
        f"data.cache={tmp_path / 'cache'}",
        f"split.file={split}",
        "preprocess.normalisation=histogram",
    ]


def test_training_cases_alone_are_learnt_from(settings: list[str], tmp_path: Path) -> None:
    cfg = configure(*settings)
    split = Split.load(Path(cfg.split.file))
    source = prepare_source(cfg, find_source(cfg), split)
    known, prepared = with_landmarks(cfg, source, split)
    assert cfg.preprocess.landmarks == "auto"
    trained = [case for case in find_source(cfg, anew=True).cases if case.case in split.train]
    wanted = fit_landmarks(trained, Preprocess())
    content = json.loads(Path(known.preprocess.landmarks).read_text())
    assert content["cases"] == 2
    assert np.allclose(content["landmarks"]["t2f"], wanted["t2f"], atol=0.15)
    assert len(prepared.cases) == 4
    # On a training case, percentiles lie near the landmarks.
    image = np.asarray(prepared.catalogue.select(split.train).entries[0].image, np.float32)
    middle = np.median(image[3][image[3] != 0])
    assert middle == pytest.approx(wanted["t2f"][7] / 100, abs=0.1)


def test_the_run_keeps_them_and_goes_on_with_its_own(settings: list[str], tmp_path: Path) -> None:
    cfg = configure(*settings)
    split = Split.load(Path(cfg.split.file))
    source = prepare_source(cfg, find_source(cfg), split)
    known, _ = with_landmarks(cfg, source, split)
    run = tmp_path / "run"
    run.mkdir()
    keep_landmarks(known, run)
    own = json.loads((run / STORED).read_text())
    own["landmarks"]["t1n"] = [float(i) for i in range(13)]
    (run / STORED).write_text(json.dumps(own))
    again, _ = with_landmarks(cfg, source, split, run)
    assert again.preprocess.landmarks == str(run / STORED)
    keep_landmarks(again, run)
    assert json.loads((run / STORED).read_text()) == own


def test_nothing_is_learnt_where_nothing_is_needed(settings: list[str]) -> None:
    cfg = configure(*settings[:3])
    split = Split.load(Path(cfg.split.file))
    source = prepare_source(cfg, find_source(cfg), split)
    known, same = with_landmarks(cfg, source, split)
    assert known is cfg
    assert same is source
