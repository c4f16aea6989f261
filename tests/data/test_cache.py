import errno
import hashlib
import json
import logging
import multiprocessing
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil
import pytest
from conftest import write_case

from lightning_brats.data import cache as cache_module
from lightning_brats.data import entry as module
from lightning_brats.data import filling
from lightning_brats.data.cache import Cache, CachedCase, default_cache
from lightning_brats.data.case import Case
from lightning_brats.data.entry import foreground
from lightning_brats.data.exclusion import BadCases
from lightning_brats.data.phantom import write_phantom
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.reading import read_case
from lightning_brats.data.sources import load_cases
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
    voxels, spans = foreground(np.full((5, 5, 4), 2, np.uint8))
    assert spans == {"2": [0, 10]}
    assert voxels[-1].tolist() == [4, 2, 2]  # voxel 90 of 100


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


def test_channels_of_one_file_in_another_order_make_another_entry(
    cache: Cache, tmp_path: Path
) -> None:
    root = write_phantom(tmp_path / "msd", layout="msd", cases=1, spacing=8.0)
    orders = ("t1c", "t2f"), ("t2f", "t1c")
    cases = [load_cases(root, modalities=order).cases[0] for order in orders]
    assert len(cases[0].files) == 2  # all modalities in one, and the mask
    first, second = (cache.get(case) for case in cases)
    assert first.folder != second.folder
    assert [entry.meta["modalities"] for entry in (first, second)] == [list(o) for o in orders]
    assert np.array_equal(first.image[0], second.image[1])
    assert np.array_equal(first.image[1], second.image[0])
    assert not np.array_equal(first.image[0], first.image[1])
    assert cache.key(cases[0]) != cache.key(cases[1])


def test_the_key_of_a_file_a_modality_stays_what_it_was(cache: Cache, case: Case) -> None:
    files = []
    for path in (*(case.images[m].path for m in ("t1n", "t1c", "t2w", "t2f")), case.mask):
        stat = path.stat()
        files.append([os.path.realpath(path.parent), path.name, stat.st_size, stat.st_mtime_ns])
    preprocess = {"normalisation": "zscore", "clip": None, "margin": 0}
    channels = dict.fromkeys(case.images)
    parts = [2, preprocess, channels, dict(case.scheme.codes), files]
    text = json.dumps(parts, sort_keys=True)
    assert cache.key(case) == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert cache.key(case.with_modalities(["t2f", "t2w", "t1c", "t1n"])) != cache.key(case)


def test_an_entry_of_other_modalities_is_not_taken_for_the_case_s(cache: Cache, case: Case) -> None:
    path = cache.get(case).folder / "meta.json"
    meta = json.loads(path.read_text())
    path.write_text(json.dumps(meta | {"modalities": ["t1c", "t1n", "t2w", "t2f"]}))
    assert cache.find(case) is None
    said = r"case_0: .* t1c, t1n, t2w, t2f, wanted are t1n, t1c, t2w, t2f[\s\S]*verify=true"
    for use in (cache.get, lambda case: cache.prepare([case])):
        with pytest.raises(DataError, match=said):
            use(case)
    assert cache.repair([case])[1] == {"case_0": "the modalities are others, or in another order"}
    assert cache.repair([case])[1] == {}


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

    monkeypatch.setattr(module, "_save", full)
    with pytest.raises(DataError, match=r"case_0.*disk is full") as error:
        cache.get(case)
    assert "data.cache" in str(error.value)
    assert entries(cache) == []
    with pytest.raises(DataError, match="disk is full"):  # the disk's fault, not the case's
        cache.prepare([case], bad=BadCases("skip"))


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_really_full_disk(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount")
    try:
        cache = Cache(disk / "cache", Preprocess())
        with pytest.raises(DataError, match="case_0: the disk is full"):
            cache.get(case)
        assert entries(cache) == []
        with pytest.raises(DataError, match=r"0\.0 GB free.*needed"):
            cache.prepare([case])
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_too_small_is_refused_before_the_first_case(
    cache: Cache, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "estimated_bytes", lambda cases, spacing: 10**18)
    monkeypatch.setattr(Preprocess, "read", lambda self, case: pytest.fail("read"))
    with pytest.raises(DataError, match=r"1000000000\.0 GB are needed"):
        cache.prepare([case])


def test_somebody_else_s_cache_serves_while_all_is_there(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [write_case(tmp_path, f"c{i}", seed=i) for i in range(2)]
    cache.prepare(cases[:1])

    def denied(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    for name in ("mkdir", "rename", "unlink", "write_text", "write_bytes"):
        monkeypatch.setattr(Path, name, denied)
    monkeypatch.setattr("tempfile.TemporaryFile", denied)
    reader = Cache(cache.root, Preprocess())
    assert reader.prepare(cases[:1]).entries[0].meta["case"] == "c0"
    assert reader.get(cases[0]).is_intact()
    with pytest.raises(DataError, match="1 case not yet prepared in this cache") as error:
        reader.prepare(cases)
    assert "data.cache=/path" in str(error.value)


def test_left_overs_of_dead_processes_go_after_a_day(cache: Cache, case: Case) -> None:
    old, new = (cache.root / f".x-{age}.0123abcd.partial" for age in ("old", "new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "image.npy").touch()
    yesterday = time.time() - 90_000
    os.utime(old, (yesterday, yesterday))
    cache.prepare([case])
    assert not old.exists()
    assert new.exists()


def test_entries_of_another_version_are_made_anew_and_that_is_said(
    cache: Cache, case: Case, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for file in (module, cache_module, filling):
        monkeypatch.setattr(file, "VERSION", 1)
    before = cache.get(case).folder
    monkeypatch.undo()
    with caplog.at_level(logging.INFO):
        found = cache.prepare([case])
    assert found.entries[0].folder != before
    assert before.exists()
    assert "1 case prepared by another version" in caplog.text


def test_repair_reads_every_byte(cache: Cache, tmp_path: Path) -> None:
    cases = [write_case(tmp_path, f"c{i}", seed=i) for i in range(5)]
    found = cache.prepare(cases)
    folders = [entry.folder for entry in found.entries]
    good = (folders[1] / "image.npy").read_bytes()
    flipped = bytearray(good)
    flipped[-1] ^= 1  # the size stays
    (folders[1] / "image.npy").write_bytes(flipped)
    shutil.rmtree(folders[2])
    (folders[3] / "meta.json").write_text("{}")
    os.utime(cases[4].images["t1c"].path, ns=(1, 1))
    assert CachedCase(folders[1]).is_intact()
    again, problems = cache.repair(cases, workers=2)
    assert problems == {
        "c1": "image.npy has changed since it was written",
        "c2": "not prepared yet",
        "c3": "files are missing or of another size",
        "c4": "not prepared yet",
    }
    assert (folders[1] / "image.npy").read_bytes() == good
    assert [entry.problem() for entry in again.entries] == [None] * 5
    assert cache.repair(cases)[1] == {}


def test_bad_cases_are_left_out_and_listed(cache: Cache, tmp_path: Path) -> None:
    cases = [write_case(tmp_path, f"c{i}", seed=i) for i in range(4)]
    cases[1].images["t2w"].path.write_bytes(b"not a volume")
    cases[2].images["t1n"].path.unlink()
    for workers in (1, 2):
        bad = BadCases("skip")
        found = cache.prepare(cases, workers, bad=bad)
        assert found.names == ["c0", "c3"]
        assert sorted(str(error.case) for error in bad.excluded) == ["c1", "c2"]
        assert sorted(str(error.case) for error in found.excluded) == ["c1", "c2"]
    with pytest.raises(DataError, match="none of 2 cases can be used"):
        cache.prepare(cases[1:3], bad=BadCases("skip"))


def test_every_process_of_many_begins_at_its_own_place(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [write_case(tmp_path, f"c{i}", seed=i) for i in range(4)]
    order: list[str] = []
    read = Preprocess.read
    monkeypatch.setattr(
        Preprocess, "read", lambda self, case: (order.append(case.case), read(self, case))[1]
    )
    assert cache.prepare(cases, share=(1, 2)).names == ["c0", "c1", "c2", "c3"]
    assert order == ["c2", "c3", "c0", "c1"]


def test_an_entry_that_is_gone_is_said_with_the_way_to_repair_it(cache: Cache, case: Case) -> None:
    entry = cache.get(case)
    assert entry.meta["case"] == "case_0"
    (entry.folder / "mask.npy").unlink()
    with pytest.raises(DataError, match=r"case_0: the prepared case[\s\S]*verify=true"):
        _ = entry.mask


def test_visiting_cases_keeps_nothing(cache: Cache, case: Case) -> None:
    entry = cache.get(case)
    assert isinstance(entry.foreground[1], np.memmap)
    assert not hasattr(entry, "__dict__")


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
    assert [entry.meta["case"] for entry in found.entries] == ["c0", "c1", "c2"]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    cache.prepare(cases, workers=2, progress=lambda d, t: pytest.fail("prepared again"))


def test_an_error_in_a_worker_keeps_its_message(cache: Cache, tmp_path: Path) -> None:
    cases = [write_case(tmp_path, f"c{i}", seed=i) for i in range(3)]
    cases[1].images["t2w"].path.unlink()
    with pytest.raises(DataError, match="c1: file not found"):
        cache.prepare(cases, workers=2)


def _prepare_for_ever(root: str, cases: list[Case]) -> None:
    while True:
        Cache(Path(root), Preprocess()).prepare(cases, workers=2)
        for entry in Path(root).iterdir():
            if not entry.name.startswith("."):
                shutil.rmtree(entry.rename(entry.with_name(f".{entry.name}.gone.partial")))


def _visible(cache: Cache) -> list[CachedCase]:
    names = entries(cache)
    return [CachedCase(cache.root / name) for name in names if not name.startswith(".")]


def _kill_at(delays: list[float], cache: Cache, cases: list[Case]) -> None:
    context = multiprocessing.get_context("fork")
    for delay in delays:
        process = context.Process(target=_prepare_for_ever, args=(str(cache.root), cases))
        process.start()
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert [entry.problem() for entry in _visible(cache)] == [None] * len(_visible(cache))
    found = cache.prepare(cases)
    assert [entry.problem() for entry in found.entries] == [None] * len(cases)


def test_kill_9_at_any_moment_leaves_no_half_entry(cache: Cache, tmp_path: Path) -> None:
    cases = [write_case(tmp_path, f"c{i}", seed=i) for i in range(3)]
    _kill_at([0.05, 0.11, 0.23], cache, cases)


@pytest.mark.slow
def test_kill_9_at_random_moments_many_times(cache: Cache, tmp_path: Path) -> None:
    cases = [write_case(tmp_path, f"c{i}", seed=i, shape=(64, 72, 48)) for i in range(6)]
    _kill_at(np.random.default_rng().uniform(0.02, 0.6, 40).tolist(), cache, cases)


def test_processes_do_not_outlive_the_one_that_started_them(cache: Cache, tmp_path: Path) -> None:
    cases = [write_case(tmp_path, f"c{i}", seed=i) for i in range(3)]
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_prepare_for_ever, args=(str(cache.root), cases))
    process.start()
    children: list[psutil.Process] = []
    deadline = time.monotonic() + 20
    while not children and time.monotonic() < deadline:
        children = psutil.Process(process.pid).children()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert children
    assert not psutil.wait_procs(children, timeout=10)[1]


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
