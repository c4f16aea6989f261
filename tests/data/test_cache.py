import errno
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import write_case

from lightning_brats.data import cache as module
from lightning_brats.data.cache import Cache, default_cache, foreground
from lightning_brats.data.case import Case, read_case
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.errors import DataError


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", Preprocess())


def entries(cache: Cache) -> list[str]:
    return sorted(path.name for path in cache.root.iterdir()) if cache.root.exists() else []


def test_an_entry_holds_what_preprocessing_gave(cache: Cache, case: Case) -> None:
    entry = cache.get(case)
    direct = Preprocess()(case, read_case(case))
    stored = entry.prepared()
    assert np.array_equal(stored.image, direct.image)
    assert np.array_equal(stored.mask, direct.mask)
    assert stored.geometry == direct.geometry
    assert isinstance(entry.image, np.memmap)


def test_foreground_coordinates_lie_on_their_label(cache: Cache, case: Case) -> None:
    entry = cache.get(case)
    assert set(entry.foreground) == {1, 2, 3}
    for label, voxels in entry.foreground.items():
        assert (entry.mask[tuple(voxels.T)] == label).all()


def test_large_foreground_is_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_COORDINATES", 10)
    found = foreground(np.full((5, 5, 4), 2, np.uint8))
    assert len(found[2]) == 10
    assert found[2][-1].tolist() == [4, 2, 2]  # voxel 90 of 100


def test_second_use_reads_no_source(cache: Cache, case: Case, monkeypatch) -> None:
    cache.get(case)
    monkeypatch.setattr(Preprocess, "read", lambda self, case: pytest.fail("read again"))
    cache.get(case)


def test_a_changed_parameter_or_source_makes_a_new_entry(cache: Cache, case: Case) -> None:
    first = cache.get(case).folder
    assert Cache(cache.root, Preprocess("minmax")).get(case).folder != first
    path = case.images["t1n"].path
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj) * 2, image.affine), path)
    assert cache.get(case).folder != first
    assert cache.get(case.with_modalities(["t1c"])).folder != first


def test_a_damaged_entry_is_rebuilt(cache: Cache, case: Case) -> None:
    folder = cache.get(case).folder
    good = (folder / "image.npy").read_bytes()
    (folder / "image.npy").write_bytes(good[:100])
    assert (cache.get(case).folder / "image.npy").read_bytes() == good
    (folder / "meta.json").unlink()
    assert cache.get(case).is_intact()
    (folder / "meta.json").write_text("{")
    assert cache.get(case).is_intact()


def test_a_full_disk_leaves_nothing_behind(cache: Cache, case: Case, monkeypatch) -> None:
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.np, "savez", full)
    with pytest.raises(DataError, match=r"case_0.*disk is full") as error:
        cache.get(case)
    assert "data.cache" in str(error.value)
    assert entries(cache) == []


def test_no_permission_is_said(case: Case, tmp_path: Path, monkeypatch) -> None:
    def denied(self, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", denied)
    with pytest.raises(DataError, match="Permission denied"):
        Cache(tmp_path / "cache", Preprocess()).get(case)


def test_parallel_preparation_reports_and_reuses(cache: Cache, tmp_path: Path) -> None:
    cases = [write_case(tmp_path, f"c{i}", seed=i) for i in range(3)]
    seen: list[tuple[int, int]] = []
    found = cache.prepare(cases, workers=2, progress=lambda d, t: seen.append((d, t)))
    assert [found[c.case].meta["case"] for c in cases] == ["c0", "c1", "c2"]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    cache.prepare(cases, workers=2, progress=lambda d, t: pytest.fail("prepared again"))


def test_an_error_in_a_worker_keeps_its_message(cache: Cache, tmp_path: Path) -> None:
    cases = [write_case(tmp_path, f"c{i}", seed=i) for i in range(3)]
    cases[1].images["t2w"].path.unlink()
    with pytest.raises(DataError, match="c1: file not found"):
        cache.prepare(cases, workers=2)


def _prepare_for_ever(root: str, case: Case) -> None:
    while True:
        for entry in Path(root).glob(f"{case.case}-*"):
            module.shutil.rmtree(entry)
        Cache(Path(root), Preprocess()).get(case)


def test_kill_9_at_any_moment_leaves_no_half_entry(cache: Cache, case: Case) -> None:
    context = multiprocessing.get_context("fork")
    for delay in (0.02, 0.05, 0.09):
        process = context.Process(target=_prepare_for_ever, args=(str(cache.root), case))
        process.start()
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert cache.get(case).is_intact()


def _get(root: str, case: Case) -> None:
    Cache(Path(root), Preprocess()).get(case)


def test_processes_that_race_for_an_entry_agree(cache: Cache, case: Case) -> None:
    context = multiprocessing.get_context("fork")
    racers = [context.Process(target=_get, args=(str(cache.root), case)) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert [racer.exitcode for racer in racers] == [0] * 4
    assert entries(cache) == [cache.folder(case).name]


def test_meta_is_readable_by_people(cache: Cache, case: Case) -> None:
    meta = json.loads((cache.get(case).folder / "meta.json").read_text())
    assert meta["modalities"] == ["t1n", "t1c", "t2w", "t2f"]
    assert meta["preprocess"]["normalisation"] == "zscore"


def test_the_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIGHTNING_BRATS_CACHE", str(tmp_path))
    assert default_cache() == tmp_path
