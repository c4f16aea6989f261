import csv
import time
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torchio as tio
from conftest import write_case
from pytorch_lightning.loggers import CSVLogger

from lightning_brats import BratsDataModule, QueueSettings, SegmentationTask, SlidingWindow
from lightning_brats.callbacks import EpochTable, Pace, TrainingProgress
from lightning_brats.data.sources import CaseSource
from lightning_brats.data.splits import Split
from lightning_brats.models import FCNN

PATCH = (8, 8, 8)


def train(
    folder: Path, workers: int, transform=None, epochs: int = 1, **options: Any
) -> pl.Trainer:
    cases = tuple(write_case(folder, f"c{i}", seed=i) for i in range(4))
    queue = QueueSettings(PATCH, batch_size=2, patches_per_volume=4, workers=workers)
    split = Split(("c0", "c1"), ("c2",), ("c3",))
    data = BratsDataModule(CaseSource("x", cases), queue=queue, split=split, transform=transform)
    pace = Pace()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=[pace, EpochTable(folder / "metrics.csv", pace), TrainingProgress(pace)],
        logger=CSVLogger(folder, name="log", version=""),
        log_every_n_steps=2,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **options,
    )
    trainer.fit(SegmentationTask(FCNN(4, 3), inference=SlidingWindow(PATCH)), data)
    return trainer


def rows(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as stream:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(stream)
        ]


def slow(subject: tio.Subject) -> tio.Subject:
    time.sleep(0.4)
    return subject


def test_a_trainer_that_waits_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tmp_path, 1, slow)
    (row,) = rows(tmp_path / "metrics.csv")
    # Eight patches of 0.4 s by one worker take 3.2 s, of which the steps hide a part: on a busy
    # machine a large one.
    assert 1 < row["wait_share"] * (8 / row["patches_per_second"]) < 10
    assert 0 < row["wait_share"] <= 1
    assert row["patches_per_second"] <= 2.5
    assert row["queue_fill"] < 0.3
    assert "waited" in (shown := capsys.readouterr().out)
    assert "queue.workers" in shown


def test_validation_is_no_training_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = SegmentationTask.validation_step

    def slowly(self, *args) -> None:
        time.sleep(1.0)
        original(self, *args)

    monkeypatch.setattr(SegmentationTask, "validation_step", slowly)
    train(tmp_path, 0)
    (row,) = rows(tmp_path / "metrics.csv")
    assert row["seconds"] > 1
    assert 8 / row["patches_per_second"] < row["seconds"] - 0.9
    assert "queue_fill" not in row  # without workers there is no queue to fill


def test_the_pace_is_logged_while_training(tmp_path: Path) -> None:
    train(tmp_path, 1, epochs=2)
    logged = [row for row in rows(tmp_path / "log" / "metrics.csv") if "queue/wait_share" in row]
    assert [row["step"] for row in logged] == [2, 4, 6, 8]
    for row in logged:
        assert 0 <= row["queue/fill"] <= 1
        assert 0 <= row["queue/wait_share"] <= 1
        assert row["queue/patches_per_second"] > 0
        batches = 2 * 2 * 8**3 * 9 / 1e6
        assert batches <= row["queue/mb"] <= batches + 16 * 8**3 * 9 / 1e6


def test_an_epoch_in_two_parts_is_measured_as_one() -> None:
    first = Pace()
    first._began = first._read()
    time.sleep(0.2)
    second = Pace()
    second.load_state_dict(first.state_dict())
    trainer = pl.Trainer(accelerator="cpu", logger=False)
    second.on_train_start(trainer, None)
    second.on_train_epoch_end(trainer, None)
    assert 0.2 <= second.epoch["seconds"] < 2


def test_a_table_with_other_columns_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,old\n0,4,0.5\n7,32,0.1\n")
    EpochTable(path, Pace())._write({"epoch": 1, "step": 8, "new": 2.0})
    assert rows(path) == [{"epoch": 0, "step": 4, "old": 0.5}, {"epoch": 1, "step": 8, "new": 2.0}]


def test_a_validation_that_the_clock_brought_forward_is_in_the_table(tmp_path: Path) -> None:
    """`max_time` ends an epoch early, and Lightning validates where that epoch's turn has come."""
    options = {"max_time": {"seconds": 1}, "limit_val_batches": 1}
    train(tmp_path, 1, slow, epochs=50, **options)
    found = rows(tmp_path / "metrics.csv")
    assert len(found) < 50
    assert all("val/dice_mean" in row for row in found)


def test_epochs_without_validation_leave_its_columns_empty(tmp_path: Path) -> None:
    train(tmp_path, 0, epochs=4, check_val_every_n_epoch=2)
    found = rows(tmp_path / "metrics.csv")
    assert ["val/dice_mean" in row for row in found] == [False, True, False, True]
