import os

import pytest

from lightning_brats.errors import ConfigError
from lightning_brats.sweeps.host import share_out, visible_gpus


def test_gpus_are_shared_out() -> None:
    slots = share_out(None, 1, ["0", "1", "2"])
    assert [slot.gpus for slot in slots] == [("0",), ("1",), ("2",)]
    pairs = share_out(2, 2, ["4", "5", "6", "7", "8"])
    assert [slot.gpus for slot in pairs] == [("4", "5"), ("6", "7")]
    assert len(share_out(None, 2, ["0", "1", "2"])) == 1


def test_without_gpus_there_is_one_worker_with_all_cores() -> None:
    (slot,) = share_out(None, 1, [])
    assert slot.gpus == ()
    assert slot.cores == ()


def test_cores_are_shared_out_without_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 8, 9, 10})
    monkeypatch.setattr("lightning_brats.sweeps.host.cores", lambda: 7)
    slots = share_out(3, 1, [])
    assert [slot.cores for slot in slots] == [(0, 1), (2, 3), (8, 9)]


@pytest.mark.parametrize(("workers", "each"), [(3, 1), (2, 2), (None, 3), (1, 0)])
def test_more_than_there_is_is_refused(workers: int | None, each: int) -> None:
    with pytest.raises(ConfigError, match=r"GPUs of this host|at least"):
        share_out(workers, each, ["0", "1"])


def test_the_scheduler_s_choice_of_gpus_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, MIG-7a")
    assert visible_gpus() == ["3", "MIG-7a"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert visible_gpus() == []
