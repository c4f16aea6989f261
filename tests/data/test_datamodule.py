from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import write_case

from lightning_brats.data.datamodule import BratsDataModule, from_files, volume_loader
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.queue import QueueSettings
from lightning_brats.data.sources import CaseSource
from lightning_brats.data.splits import Split
from lightning_brats.errors import ConfigError, DataError

QUEUE = QueueSettings((8, 8, 8), batch_size=2, patches_per_volume=3, workers=0)


@pytest.fixture
def source(tmp_path: Path) -> CaseSource:
    shapes = [(24, 28, 20), (24, 28, 20), (20, 22, 18), (24, 28, 20), (24, 28, 20)]
    cases = (write_case(tmp_path, f"c{i}", shape=s, seed=i) for i, s in enumerate(shapes))
    return CaseSource("made up", tuple(cases))


@pytest.fixture
def data(source: CaseSource) -> BratsDataModule:
    split = Split(("c0", "c1", "c2"), ("c3",), ("c4",))
    return BratsDataModule(source, queue=QUEUE, split=split)


def test_training_batches_hold_training_cases_alone(data: BratsDataModule) -> None:
    data.prepare_data()
    batches = list(data.train_dataloader())
    assert len(batches) == 5  # 9 patches in batches of 2
    assert {case for batch in batches for case in batch["case"]} == {"c0", "c1", "c2"}


def test_whole_volumes_come_with_the_way_back(data: BratsDataModule) -> None:
    data.prepare_data()
    (batch,) = list(data.val_dataloader())
    assert batch["origin"].case.case == "c3"
    assert batch["image"].shape[:2] == (1, 4)
    restored = batch["origin"].geometry.restore(batch["mask"][0, 0].numpy())
    assert restored.shape == (24, 28, 20)


def test_typical_shape_is_the_median(data: BratsDataModule) -> None:
    data.prepare_data()
    shapes = [data.cache.get(case).meta["shape"] for case in data.cases("train")]
    assert data.typical_shape() == tuple(np.median(shapes, axis=0).astype(int))


def test_a_split_that_leaks_is_refused(tmp_path: Path) -> None:
    cases = (
        write_case(tmp_path, "monday", "ann", seed=0),
        write_case(tmp_path, "friday", "ann", seed=1),
        write_case(tmp_path, "other", "bob", seed=2),
    )
    split = Split(("monday",), ("friday",), ("other",))
    with pytest.raises(DataError, match="ann"):
        BratsDataModule(CaseSource("x", cases), split=split)


def test_without_the_cache_the_same_arrays_come_from_the_files(data: BratsDataModule) -> None:
    data.prepare_data()
    case = data.cases("test")[0]
    (direct,) = list(volume_loader([case], partial(from_files, Preprocess()), workers=0))
    (cached,) = list(data.test_dataloader())
    assert torch.equal(direct["image"], cached["image"])


def test_spare_volumes_are_marked(data: BratsDataModule) -> None:
    case = data.cases("test")[0]
    loader = volume_loader([case], partial(from_files, Preprocess()), 0, spare=[case])
    assert [batch["counted"] for batch in loader] == [True, False]


def test_position_survives_a_checkpoint(data: BratsDataModule) -> None:
    data.prepare_data()
    whole = list(data.train_dataloader())
    loader = iter(data.train_dataloader())
    next(loader), next(loader)
    state = data.state_dict()
    again = BratsDataModule(data.source, queue=QUEUE, split=data.split)
    again.prepare_data()
    again.load_state_dict(state)
    rest = list(again.train_dataloader())
    assert len(rest) == 3
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(rest, whole[2:], strict=True))


def ranks(data: BratsDataModule, batch_size: int, world: int) -> list[BratsDataModule]:
    """The data module of each rank, as it is under Lightning."""
    found = []
    for rank in range(world):
        one = BratsDataModule(
            data.source,
            queue=replace(QUEUE, batch_size=batch_size, patches_per_volume=8),
            split=data.split,
        )
        strategy = SimpleNamespace(root_device=torch.device("cpu"))
        one.trainer = SimpleNamespace(global_rank=rank, world_size=world, strategy=strategy)
        found.append(one)
    return found


@pytest.mark.parametrize(
    ("before", "after"), [((2, 2), (4, 1)), ((4, 1), (2, 2)), ((1, 4), (2, 2))]
)
def test_another_number_of_ranks_takes_the_patches_that_are_left(
    data: BratsDataModule, before: tuple[int, int], after: tuple[int, int]
) -> None:
    """24 patches an epoch in six steps of 4, of which two are made before."""
    (alone,) = ranks(data, 4, 1)
    whole = torch.cat([batch["image"] for batch in alone.train_dataloader()])
    first = ranks(data, *before)[0]
    steps = iter(first.train_dataloader())
    next(steps), next(steps)
    state = first.state_dict()
    assert state == {"queue": (0, 8), "joint": 4}
    rest = torch.empty(16, *whole.shape[1:], dtype=whole.dtype)
    for rank, one in enumerate(ranks(data, *after)):
        one.load_state_dict(state)
        batches = list(one.train_dataloader())
        assert len(batches) == 4
        rest[rank :: after[1]] = torch.cat([batch["image"] for batch in batches])
    assert torch.equal(rest, whole[8:])


def test_steps_of_other_sizes_do_not_go_on(data: BratsDataModule) -> None:
    first, _ = ranks(data, 2, 2)
    next(iter(first.train_dataloader()))
    (one,) = ranks(data, 2, 1)
    one.load_state_dict(first.state_dict())
    with pytest.raises(ConfigError, match=r"takes 4 patches in a step, and now it would take 2"):
        one.train_dataloader()


def test_checkpoints_from_before_are_read(data: BratsDataModule) -> None:
    """They hold the position alone, of one rank."""
    (alone,) = ranks(data, 4, 1)
    whole = list(alone.train_dataloader())
    (one,) = ranks(data, 4, 1)
    one.load_state_dict({"queue": (0, 8)})
    rest = list(one.train_dataloader())
    assert len(rest) == 4
    assert torch.equal(rest[0]["image"], whole[2]["image"])


def test_workers_end_with_the_training(data: BratsDataModule) -> None:
    data.settings = replace(QUEUE, workers=2)
    data.prepare_data()
    first = next(iter(data.train_dataloader()))
    workers = data.queue.pids
    assert len(workers) == 2
    data.teardown("validate")
    assert data.queue.pids == workers
    data.teardown("fit")
    assert data.queue.pids == []
    assert data.state_dict() == {"queue": (0, 2), "joint": 2}
    next(iter(data.train_dataloader()))
    data.on_exception(RuntimeError())
    assert data.queue.pids == []
    assert first["image"].dtype == torch.float16


def test_slices_come_from_the_settings(data: BratsDataModule) -> None:
    data.settings = QueueSettings((1, 8, 8), 4, 10, 0, 0, slices=(0.25, 0.75), tumour_only=True)
    data.prepare_data()
    for batch in data.train_dataloader():
        assert batch["image"].shape == (4, 4, 1, 8, 8)
    plan = data.queue.plan
    assert (plan.slices, plan.tumour) == ((0.25, 0.75), 1.0)
    data.settings = replace(data.settings, slices=(0, 0.01))
    with pytest.raises(DataError, match="holds tumour"):
        data.train_dataloader()


def test_little_shared_memory_means_no_worker_for_volumes(
    data: BratsDataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = data.cases("test")[0]
    load = partial(from_files, Preprocess())
    assert volume_loader([case], load, 2).num_workers == 1
    docker = SimpleNamespace(free=64 * 2**20)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: docker)
    with pytest.warns(UserWarning, match="/dev/shm has less than 512 MB"):
        loader = volume_loader([case], load, 2)
    assert loader.num_workers == 0
    assert len(list(loader)) == 1
