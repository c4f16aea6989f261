from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from lightning_brats.callbacks import AveragedWeights
from lightning_brats.errors import ConfigError


class Line(pl.LightningModule):
    """w falls by one a step; a buffer counts, and a mask is no number at all."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(1))
        self.register_buffer("mask", torch.tensor([True]))
        self.validated: list[float] = []

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return self.w.sum()

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self.validated.append(self.w.item())

    def predict_step(self, batch: torch.Tensor, batch_idx: int) -> float:
        return self.w.item()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def trainer(folder: Path, epochs: int, decay: float = 0.5) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=[AveragedWeights(decay)],
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
        num_sanity_val_steps=0,
    )


BATCHES = DataLoader([torch.zeros(1)] * 2, batch_size=None)
ONE = DataLoader([torch.zeros(1)], batch_size=None)


def test_the_average_is_validated_kept_and_tested(tmp_path: Path) -> None:
    module, runner = Line(), trainer(tmp_path, 2)
    runner.fit(module, BATCHES, ONE)
    # Weights -1, -2, -3, -4; averages -1, -1.5, then half and half: -2.25, -3.125.
    assert module.validated == pytest.approx([-1.5, -3.125])
    runner.save_checkpoint(tmp_path / "x.ckpt")
    kept = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert kept["state_dict"]["w"].item() == pytest.approx(-3.125)
    found = runner.predict(module, ONE, ckpt_path=tmp_path / "x.ckpt", weights_only=True)
    assert found == [pytest.approx(-3.125)]


def test_a_resumed_average_is_the_uninterrupted_one(tmp_path: Path) -> None:
    runner = trainer(tmp_path, 1)
    module = Line()
    runner.fit(module, BATCHES, ONE)
    saved = tmp_path / "checkpoints" / "epoch=0-step=2.ckpt"
    again = Line()
    trainer(tmp_path, 2).fit(again, BATCHES, ONE, ckpt_path=saved, weights_only=True)
    assert again.validated == pytest.approx([-3.125])


def test_a_decay_must_be_a_share() -> None:
    with pytest.raises(ConfigError, match=r"trainer\.ema=1\.5"):
        AveragedWeights(1.5)


def test_the_average_follows_the_weights_to_their_device(tmp_path: Path) -> None:
    """But not the number of weights it is of, lest each step wait for the device to tell."""
    callback, module, runner = AveragedWeights(0.5), Line(), trainer(tmp_path, 1)
    callback.setup(runner, module, "fit")
    callback.on_fit_start(runner, module.to("meta"))
    average = callback._average_model
    assert {tensor.device.type for tensor in average.module.state_dict().values()} == {"meta"}
    assert average.n_averaged.device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_averaging_never_waits_for_the_gpu(tmp_path: Path) -> None:
    callback, module, runner = AveragedWeights(0.5), Line(), trainer(tmp_path, 1)
    callback.setup(runner, module, "fit")
    callback.on_fit_start(runner, module.to("cuda"))
    torch.cuda.set_sync_debug_mode("error")
    try:
        for weight in (-1.0, -2.0, -3.0):
            module.w.data.fill_(weight)
            callback._average_model.update_parameters(module)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert callback._average_model.module.w.item() == pytest.approx(-2.25)
