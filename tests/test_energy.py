"""Energy where a GPU reports it, and none where it does not."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import pytorch_lightning as pl
import torch

from lightning_brats import energy
from lightning_brats.callbacks import Pace
from lightning_brats.callbacks import pace as pace_module
from lightning_brats.results import running_cost
from lightning_brats.segmentation import COST, CaseCounter


class FakeNvml:
    """Millijoules of a GPU, as nvidia-ml-py tells them."""

    class NVMLError(Exception):
        pass

    def __init__(self, reports: bool = True) -> None:
        self.reports, self.millijoules, self.names = reports, 0, []

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetHandleByUUID(self, name: str) -> str:  # noqa: N802
        self.names.append(name)
        return name

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:  # noqa: N802
        if not self.reports:
            raise self.NVMLError("not supported")
        self.millijoules += 7_200_000
        return self.millijoules


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch):
    """As if this process used a GPU."""
    energy._counter.cache_clear()
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    properties = SimpleNamespace(uuid="abc")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    yield
    energy._counter.cache_clear()


def test_the_counter_is_read_in_joules(gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    first, second = energy.joules_used(), energy.joules_used()
    assert first is not None
    assert second is not None
    assert second - first == 7200
    assert nvml.names == ["GPU-abc"]


def test_a_gpu_that_does_not_report_is_no_error(gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(reports=False))
    assert energy.joules_used() is None


def test_without_the_library_or_a_gpu_nothing_is_known(
    gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert energy.joules_used() is None
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert energy.joules_used() is None


def test_an_epoch_has_the_energy_it_used(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([1000.0, 2000.0, 5600.0])
    monkeypatch.setattr(pace_module, "joules_used", lambda: next(readings))
    trainer = pl.Trainer(accelerator="cpu", logger=False)
    pace = Pace()
    pace.on_train_start(trainer, None)
    pace.on_train_epoch_start(trainer, None)
    pace.on_train_epoch_end(trainer, None)
    assert pace.epoch["energy_wh"] == pytest.approx(1.0)


def test_an_epoch_without_a_report_has_none() -> None:
    trainer = pl.Trainer(accelerator="cpu", logger=False)
    pace = Pace()
    pace.on_train_start(trainer, None)
    pace.on_train_epoch_end(trainer, None)
    assert "seconds" in pace.epoch
    assert "energy_wh" not in pace.epoch


def test_running_cost_is_what_was_measured(tmp_path: Path) -> None:
    history = pd.DataFrame({"seconds": [1.0, 2.0]})
    assert running_cost(tmp_path, history) == {}
    (tmp_path / COST).write_text('{"seconds_per_case": 1.23456}')
    with_energy = history.assign(energy_wh=[400.0, 100.0])
    expected = {"inference_seconds_per_case": 1.235, "energy_kwh": 0.5}
    assert running_cost(tmp_path, with_energy) == expected
    partly = history.assign(energy_wh=[400.0, None])
    assert "energy_kwh" not in running_cost(tmp_path, partly)


def test_a_case_takes_the_time_between_start_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 16.0])
    monkeypatch.setattr("lightning_brats.segmentation.time.perf_counter", lambda: next(clock))
    counter = CaseCounter(5, lambda done, total: None)
    two = SimpleNamespace(world_size=2)
    counter.on_predict_start(two, None)
    for _ in range(3):
        counter.on_predict_batch_end(two)
    counter.on_predict_end(two, None)
    assert counter.seconds_per_case == 2
