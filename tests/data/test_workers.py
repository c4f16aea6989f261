"""What happens when a worker, the trainer or a file goes wrong."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import psutil
import pytest
import torch
import torchio as tio
from conftest import write_case

from lightning_brats.data.cache import Cache, CachedCase
from lightning_brats.data.patches import PatchDataset
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.queue import PatchQueue, WorkerError
from lightning_brats.data.queue.workers import PatchWorkers
from lightning_brats.data.sampling import PatchPlan
from lightning_brats.errors import BratsError, ConfigError, DataError

PATCH = (8, 8, 8)
SOON = 5.0
"""Seconds within which everything must have happened, on a busy machine too."""


@pytest.fixture
def cached(tmp_path: Path) -> list[CachedCase]:
    cache = Cache(tmp_path / "cache", Preprocess())
    return [cache.get(write_case(tmp_path, f"c{i}", seed=i)) for i in range(2)]


def queue(cached: list[CachedCase], workers: int = 2, transform=None) -> PatchQueue:
    return PatchQueue(PatchDataset(cached, PATCH, transform), PatchPlan(2, 20, 0.3, 2), workers)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No test may leave a process behind."""
    yield
    deadline = time.monotonic() + SOON
    while psutil.Process().children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.Process().children()


def take(patches: PatchQueue, start: int = 0) -> None:
    for index in range(start, 39):
        patches[index]


def take_until_it_fails(patches: PatchQueue) -> BratsError:
    started = time.monotonic()
    with pytest.raises(BratsError) as caught:
        take(patches)
    assert time.monotonic() - started < SOON
    return caught.value


@pytest.mark.parametrize("workers", [0, 2])
def test_a_failing_transform_says_where_and_why(cached: list[CachedCase], workers: int) -> None:
    def fail(subject: tio.Subject) -> tio.Subject:
        if subject["case"] == "c1":
            raise ValueError("the transform's own message")
        return subject

    error = take_until_it_fails(queue(cached, workers, fail))
    assert isinstance(error, WorkerError)
    assert error.case == "c1"
    assert error.file == cached[1].folder
    assert "ValueError: the transform's own message" in str(error)
    assert "in fail" in str(error)  # the line of the traceback that names the culprit


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_meant_for_people_comes_as_it_is(cached: list[CachedCase], workers: int) -> None:
    def refuse(subject: tio.Subject) -> tio.Subject:
        raise DataError("not this one", remedy="take another")

    error = take_until_it_fails(queue(cached, workers, refuse))
    assert type(error) is DataError
    assert error.problem == "not this one"
    assert error.remedy == "take another"
    assert error.case in ("c0", "c1")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_transform_that_changes_the_size_is_refused(
    cached: list[CachedCase], workers: int
) -> None:
    error = take_until_it_fails(queue(cached, workers, tio.Crop(1)))
    assert "the augmentation returns patches of (6, 6, 6) instead of (8, 8, 8)" in error.problem


@pytest.mark.parametrize("name", ["image.npy", "meta.json"])
def test_a_case_that_vanishes_is_named(cached: list[CachedCase], name: str) -> None:
    patches = queue(cached, 1)
    patches[0]
    for entry in cached:
        (entry.folder / name).unlink()
    if name == "meta.json":  # what was read once is not read again
        patches.close()
    error = take_until_it_fails(patches)
    assert error.case in ("c0", "c1")
    assert str(cached[0].folder.parent) in str(error.file)
    assert error.remedy


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS])
def test_a_worker_that_dies_is_reported(cached: list[CachedCase], number: int) -> None:
    def die(subject: tio.Subject) -> tio.Subject:
        if subject["case"] == "c1":
            signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
            os.kill(os.getpid(), number)
        return subject

    error = take_until_it_fails(queue(cached, 2, die))
    assert isinstance(error, WorkerError)
    assert signal.Signals(number).name in error.problem
    assert error.case == "c1"
    assert error.remedy


def test_a_death_is_reported_before_the_patches_run_out(cached: list[CachedCase]) -> None:
    patches = queue(cached, 2)
    patches[0]
    while patches.num_patches < patches.capacity:
        time.sleep(0.01)
    os.kill(patches.pids[0], signal.SIGKILL)
    time.sleep(0.2)
    with pytest.raises(WorkerError, match="SIGKILL"):
        patches[1]


def test_a_failure_is_reported_early_but_not_of_the_next_epoch(cached: list[CachedCase]) -> None:
    last = list(PatchPlan(2, 20, 0.3, 2).epoch(0))[-1]
    first = next(PatchPlan(2, 20, 0.3, 2).epoch(1))

    def queue_that_fails_at(seed: int) -> PatchQueue:
        patches = queue(cached, 2)
        original = type(patches.dataset)

        class Failing(original):
            def __getitem__(self, request):
                if request.seed == seed:
                    raise DataError("this one")
                return super().__getitem__(request)

        patches.dataset.__class__ = Failing
        patches.seek(0, 30)
        patches[30]
        while patches.num_patches < patches.capacity:
            time.sleep(0.01)
        return patches

    with pytest.raises(DataError, match="this one"):
        queue_that_fails_at(last.seed)[31]
    patches = queue_that_fails_at(first.seed)
    for index in range(31, 40):
        patches[index]
    with pytest.raises(DataError, match="this one"):
        patches[0]


def test_a_trainer_that_waits_hears_of_it(cached: list[CachedCase]) -> None:
    patches = queue(cached, 2, lambda subject: time.sleep(60) or subject)

    def kill() -> None:
        while len(patches.pids) < 2:
            time.sleep(0.01)
        time.sleep(0.2)
        os.kill(patches.pids[1], signal.SIGKILL)

    threading.Thread(target=kill).start()
    assert "SIGKILL" in take_until_it_fails(patches).problem


def test_after_an_error_the_queue_goes_on_where_it_was(cached: list[CachedCase]) -> None:
    patches, whole = queue(cached, 2), queue(cached, 0)
    patches[0]
    for pid in patches.pids:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerError):
        take(patches, 1)
    position = patches.position[1]
    assert torch.equal(patches[position].image.data, whole[position].image.data)
    patches.close()


def test_workers_leave_stopping_to_the_trainer(cached: list[CachedCase]) -> None:
    """Ctrl-C reaches all processes of a terminal, but the trainer first finishes its step."""
    patches = queue(cached, 2)
    patches[0]
    for number in (signal.SIGINT, signal.SIGTERM):
        for pid in patches.pids:
            os.kill(pid, number)
    before = patches.pids
    take(patches, 1)
    assert patches.pids == before
    patches.close()


def test_closing_does_not_wait_for_a_slow_patch(cached: list[CachedCase]) -> None:
    patches = queue(cached, 2, lambda subject: time.sleep(60) or subject)
    threading.Timer(0.5, patches.close).start()
    started = time.monotonic()
    with pytest.raises(BratsError):
        patches[0]
    assert time.monotonic() - started < SOON


def test_a_forgotten_queue_ends_its_workers(cached: list[CachedCase]) -> None:
    patches = queue(cached, 2)
    patches[0]
    assert len(psutil.Process().children()) == 2
    del patches


def train(cached: list[CachedCase], pids: SimpleQueue) -> None:
    """A trainer in a step that takes long."""
    patches = queue(cached, 2)
    patches[0]
    pids.put(patches.pids)
    time.sleep(60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_the_trainer(cached: list[CachedCase], number: int) -> None:
    context = multiprocessing.get_context("fork")
    channel = context.SimpleQueue()  # without a thread, whose start a signal may interrupt
    trainer = context.Process(target=train, args=(cached, channel))
    trainer.start()
    workers = channel.get()
    time.sleep(0.2)  # until the step has begun
    assert all(psutil.pid_exists(pid) for pid in workers)
    os.kill(trainer.pid, number)
    trainer.join(SOON)
    deadline = time.monotonic() + SOON
    while any(lives(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(lives(pid) for pid in workers)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
def test_patches_need_no_room_in_dev_shm(cached: list[CachedCase]) -> None:
    patches = PatchQueue(
        PatchDataset(cached, (64, 64, 64)), PatchPlan(2, 20, 0.3, 2), 1, max_bytes=60_000_000
    )
    patches[0]
    mapped = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "/dev/shm/" in line:
            first, last = (int(place, 16) for place in line.split()[0].split("-"))
            mapped += last - first
    assert mapped < 1_000_000
    patches.close()


def test_a_system_that_refuses_is_explained(
    cached: list[CachedCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lightning_brats.data.queue.workers.Ring", refuse)
    with pytest.raises(ConfigError, match="No space left") as caught:
        PatchWorkers(PatchDataset(cached, PATCH), 2, 4)
    assert "queue.workers" in caught.value.remedy


def test_more_patches_than_the_pipe_holds(cached: list[CachedCase]) -> None:
    """Requests beyond what fits in the pipe are handed out as others come back."""
    workers = PatchWorkers(PatchDataset(cached, (2, 2, 2)), 2, 2000)
    requests = PatchPlan(2, 2000, 0.3, 2).epoch(0)
    for _ in range(1500):
        workers.release(workers.take(requests))
    workers.close()
