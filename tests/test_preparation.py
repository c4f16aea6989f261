"""Preparing ahead: what `prepare.py` leaves is what `run.py` finds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from conftest import write_case
from hydra import compose, initialize_config_module
from omegaconf import DictConfig

from lightning_brats import experiment, preparation, preparation_command, splitting
from lightning_brats.data import sources
from lightning_brats.data.cache import CachedCase
from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.data.phantom import write_phantom
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.splits import Split, make_split
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.labels import SCHEMES

ROOT = Path(__file__).parent.parent


def configure(name: str, *overrides: str) -> DictConfig:
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        if name == "run":
            overrides = (*overrides, "model_name=x")
        return compose(name, list(overrides))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for number in range(6):
        write_case(tmp_path / "data", f"BraTS2021_{number:05d}", seed=number)
    return tmp_path / "data"


def prepare(data: Path, *overrides: str) -> sources.CaseSource:
    options = (f"data.root={data}", "audit=false", "workers=1", *overrides)
    return preparation_command.run(configure("prepare", *options))


@pytest.fixture
def no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Preprocess, "read", lambda self, case: pytest.fail("read again"))
    monkeypatch.setattr(sources, "index_dataset", lambda *a: pytest.fail("indexed again"))


def test_a_run_finds_everything_prepared(data: Path, request: pytest.FixtureRequest) -> None:
    prepared = prepare(data)
    request.getfixturevalue("no_reading")
    cfg = configure("run", f"data.root={os.path.relpath(data)}")
    source = preparation.prepare_source(cfg, preparation.find_source(cfg))
    assert source.catalogue is not None
    assert list(source.cases) == list(prepared.cases)
    split = splitting.drawn_split(cfg, source)
    module = BratsDataModule(source, split=split, cache=preparation.cache_root(cfg))
    module.prepare_data()
    assert module.entries("train")[0].meta["case"] == split.train[0]
    assert [case.case for case in module.cases("test")] == list(split.test)
    assert len(preparation.fingerprint(list(source.cases), module.cache)) == 16


def test_other_settings_are_another_catalogue(data: Path) -> None:
    prepare(data)
    for change in ("preprocess.normalisation=minmax", "data.modalities=[t1c]", "data.regions=[ET]"):
        found = preparation.find_source(configure("run", f"data.root={data}", change))
        assert found.catalogue is None, change


def test_what_is_prepared_is_not_made_again(data: Path, request: pytest.FixtureRequest) -> None:
    prepare(data)
    request.getfixturevalue("no_reading")
    prepare(data)


def test_a_new_case_is_added(data: Path) -> None:
    prepare(data)
    write_case(data, "BraTS2021_00009", seed=9)
    assert len(prepare(data).cases) == 7


def test_skipped_cases_are_listed_and_remembered(
    data: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    (data / "BraTS2021_00001" / "BraTS2021_00001_seg.nii.gz").unlink()
    nan = data / "BraTS2021_00002" / "BraTS2021_00002_t1c.nii.gz"
    image = nib.load(nan)
    good = nan.read_bytes()
    nib.save(nib.Nifti1Image(np.full(image.shape, np.nan, np.float32), image.affine), nan)
    first = prepare(data, "data.on_bad_case=skip")
    again = preparation.find_source(configure("run", f"data.root={data}", "data.on_bad_case=skip"))
    assert again.catalogue is not None
    for source in (first, again):
        assert {str(e.case): e.problem for e in source.excluded} == {
            "BraTS2021_00001": "no mask found",
            "BraTS2021_00002": "t1c holds NaN or infinite voxels",
        }
    printed = capsys.readouterr().out
    assert "2 cases that cannot be used" in printed
    assert "BraTS2021_00002: t1c holds NaN" in printed
    with pytest.raises(DataError, match="BraTS2021_00001: no mask"):  # not hidden from who asks
        prepare(data)
    nan.write_bytes(good)
    assert len(prepare(data, "data.on_bad_case=skip").cases) == 5


def test_verify_repairs_and_says_so(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = prepare(data).catalogue.entries  # type: ignore[union-attr]
    image = entries[1].folder / "image.npy"
    content = bytearray(image.read_bytes())
    content[-1] ^= 1
    image.write_bytes(content)
    os.utime(data / "BraTS2021_00003" / "BraTS2021_00003_t1c.nii.gz", ns=(1, 1))
    after = prepare(data, "verify=true").catalogue
    assert after is not None
    printed = capsys.readouterr().out
    assert "2 cases made anew" in printed
    assert "BraTS2021_00001: image.npy has changed since it was written" in printed
    assert "BraTS2021_00003: its files have changed" in printed
    assert [entry.problem() for entry in after.entries] == [None] * 6
    assert after.stale() is None
    prepare(data, "verify=true")
    assert "every prepared case is as it was written" in capsys.readouterr().out


def test_a_source_that_goes_bad_after_preparing_is_found_at_the_start(data: Path) -> None:
    prepare(data)
    path = data / "BraTS2021_00004" / "BraTS2021_00004_t2w.nii.gz"
    path.write_bytes(path.read_bytes()[:2000])
    cfg = configure("run", f"data.root={data}")
    with pytest.raises(DataError, match=r"BraTS2021_00004: unreadable or truncated"):
        preparation.prepare_source(cfg, preparation.find_source(cfg))
    path.unlink()
    with pytest.raises(DataError, match=r"BraTS2021_00004: modality t2w is missing"):
        preparation.find_source(cfg)


def test_a_given_split_loses_skipped_cases_but_a_started_run_does_not() -> None:
    split = Split(("a", "b"), ("c",), ("d",))
    gone = [DataError("no mask found", case="b")]
    assert splitting.without_excluded(split, gone, resumed=False).train == ("a",)
    assert splitting.without_excluded(split, [], resumed=True) == split
    with pytest.raises(DataError, match=r"b: the run began with this case.*no mask found"):
        splitting.without_excluded(split, gone, resumed=True)


def test_a_given_split_prepares_its_own_cases_alone(data: Path) -> None:
    cfg = configure("run", f"data.root={data}")
    names = [f"BraTS2021_{number:05d}" for number in range(3)]
    split = Split((names[0],), (names[1],), (names[2],))
    source = preparation.prepare_source(cfg, preparation.find_source(cfg), split)
    assert [case.case for case in source.cases] == names
    assert preparation.last_catalogue(cfg) is None  # it would hide the other cases


def test_near_identical_cases_stay_on_one_side(tmp_path: Path) -> None:
    for number in range(8):
        write_case(tmp_path, f"BraTS2021_{number:05d}", seed=number, shape=(40, 44, 36))
    write_case(tmp_path, "BraTS2021_00100", seed=0, shape=(40, 44, 36))  # 0 under another name
    cfg = configure("run", f"data.root={tmp_path}", "split.duplicates=ignore")
    source = preparation.prepare_source(cfg, preparation.find_source(cfg))
    assert source.catalogue is not None
    pairs = {frozenset((twin.first, twin.second)) for twin in source.catalogue.twins}
    assert frozenset(("BraTS2021_00000", "BraTS2021_00100")) in pairs
    names = [f"BraTS2021_{n:05d}" for n in (0, 100, 1)]
    parted = Split((names[0],), (names[1],), (names[2],))
    splitting.check_given(cfg, source, parted)
    cfg.split.duplicates = "join"
    with pytest.raises(DataError, match="near-identical"):
        splitting.check_given(cfg, source, parted)
    cfg.split.duplicates = "part"
    with pytest.raises(ConfigError, match="join or ignore"):
        splitting.check_given(cfg, source, parted)


def write_cut_tumours(root: Path) -> None:
    """Twelve tumours of 12 + 2·i voxels, of which the lower half of the volume holds 12 - i."""
    for number in range(12):
        case = write_case(root, f"BraTS2021_{number:05d}", seed=number)
        assert case.mask is not None
        mask = np.zeros((24, 28, 20), np.uint8)
        mask[8, 8 : 20 - number, 6] = 2
        mask[8:11, 8 : 8 + number, 12] = 2
        image = nib.load(case.mask)
        nib.save(nib.Nifti1Image(case.scheme.encode(mask), image.affine), case.mask)


def test_what_is_cut_off_or_resampled_draws_no_other_patients(tmp_path: Path) -> None:
    write_cut_tumours(tmp_path / "data")
    drawn, by_voxels = {}, {}
    for steps in ("margin=0", "crop=[[0,24],[0,28],[0,10]]", "spacing=4.0"):
        cfg = configure(
            "run",
            f"data.root={tmp_path / 'data'}",
            f"preprocess.{steps}",
            "split.duplicates=ignore",
        )
        source = preparation.find_source(cfg)
        source = preparation.prepare_source(cfg, source, workers=1)
        assert source.catalogue is not None
        drawn[steps] = splitting.drawn_split(cfg, source)
        metas = [entry.meta for entry in source.catalogue.entries]
        left = {meta["case"]: float(sum(meta["voxels"])) for meta in metas}
        by_voxels[steps] = make_split(source.outline(), sizes=left)
    whole, cut, coarse = drawn.values()
    assert whole == cut == coarse == by_voxels["margin=0"]
    assert by_voxels["crop=[[0,24],[0,28],[0,10]]"] != whole


def test_a_given_split_of_plain_lists_learns_its_patients(tmp_path: Path) -> None:
    """Without them another run could be trained on other time points of a test patient."""
    names = [f"BraTS-GLI-{n:05d}-10{t}" for n, t in ((0, 0), (0, 1), (1, 0), (2, 0))]
    for number, name in enumerate(names):
        write_case(tmp_path / "data", name, seed=number, scheme=SCHEMES["brats2024"])
    lists = {"train": names[:2], "validation": names[2:3], "test": names[3:]}
    (tmp_path / "lists.json").write_text(json.dumps(lists))
    options = f"data.root={tmp_path / 'data'}", f"split.file={tmp_path / 'lists.json'}"
    cfg = configure("run", *options, "split.duplicates=ignore")
    given = splitting.given_split(cfg, tmp_path, resumed=False)
    assert given is not None
    assert given.patients == {}
    source = preparation.prepare_source(cfg, preparation.find_source(cfg), given, workers=1)
    split = splitting.check_given(cfg, source, given)
    assert split == given
    split.save(tmp_path / "split.json")
    stored = json.loads((tmp_path / "split.json").read_text())
    assert stored["train"] == {"BraTS-GLI-00000": names[:2]}
    assert stored["test"] == {"BraTS-GLI-00002": names[3:]}


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "experiments" / "prepare.py"), *arguments]


@pytest.mark.slow
def test_bad_input_ends_with_a_message(tmp_path: Path) -> None:
    done = subprocess.run(
        command("data.root=/no/such/folder"), cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "/no/such/folder" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_killed_command_goes_on_where_it_was(tmp_path: Path) -> None:
    for number in range(30):
        write_case(tmp_path / "data", f"BraTS2021_{number:05d}", seed=number, shape=(80, 96, 64))
    cache = tmp_path / "cache"
    options = (f"data.root={tmp_path / 'data'}", f"data.cache={cache}", "workers=2")
    process = subprocess.Popen(command(*options), cwd=tmp_path, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(cache.glob("BraTS*"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    made = {folder: folder.stat().st_ctime_ns for folder in cache.glob("BraTS*")}
    assert 5 <= len(made) < 30
    assert [CachedCase(folder).problem() for folder in made] == [None] * len(made)
    done = subprocess.run(command(*options), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{30 - len(made)} cases to prepare" in done.stdout
    assert {folder: folder.stat().st_ctime_ns for folder in made} == made
    assert len(list(cache.glob("BraTS*"))) == 30


@pytest.mark.slow
def test_a_run_on_two_data_sets_leaves_out_and_lists(tmp_path: Path) -> None:
    options = {"cases": 5, "spacing": 6.0}
    write_phantom(tmp_path / "a", layout="brats2021", **options)
    write_phantom(tmp_path / "b", layout="brats2024-gli", seed=50, **options)
    (tmp_path / "a" / "BraTS2021_00002" / "BraTS2021_00002_seg.nii.gz").unlink()
    roots = f"data.roots=[{tmp_path / 'a'},{tmp_path / 'b'}]"
    cfg = experiment.configure(
        *(roots, "data.on_bad_case=skip", f"runs={tmp_path / 'runs'}", "tracking=none"),
        *("model=fcnn", "trainer.max_epochs=1", "split.test=0.4", "trainer.accelerator=cpu"),
    )
    folder = experiment.run(cfg)
    summary = json.loads((folder / "summary.json").read_text())
    assert [(e["case"], e["problem"]) for e in summary["excluded"]] == [
        ("BraTS2021_00002", "no mask found")
    ]
    assert list(summary["regions"]) == ["WT", "TC", "ET"]
    scores = pd.read_csv(folder / "evaluation.csv")
    assert set(scores["cohort"]) <= {"BraTS2021", "BraTS2024-GLI"}
    allowed = {"BraTS2021": {0, 1, 2, 4}, "BraTS-GLI": {0, 1, 2, 3}}
    masks = list((folder / "predictions").glob("*.nii.gz"))
    assert len(masks) == summary["test_cases"] == 4
    for path in masks:
        release = next(name for name in allowed if path.name.startswith(name))
        assert set(np.unique(np.asarray(nib.load(path).dataobj)).tolist()) <= allowed[release]
