from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from lightning_brats.callbacks.faults import DivergedRunError, SkipNonFinite


class Line(pl.LightningModule):
    """y = w · x with momentum, so that a skipped step shows in the next one too."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.ones(1))
        self.seen: list[float] = []

    def training_step(self, batch: dict, batch_idx: int) -> torch.Tensor:
        self.seen.append(self.w.item())
        return (self.w * batch["x"]).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.5)


def fit(folder: Path, values: list[float], **settings) -> Line:
    batches = [{"x": torch.tensor([v]), "case": [f"c{i}"]} for i, v in enumerate(values)]
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[SkipNonFinite()],
        default_root_dir=folder,
        enable_checkpointing=False,
        **quiet,
        **settings,
    )
    module = Line()
    trainer.fit(module, DataLoader(batches, batch_size=None))
    return module


def test_a_step_without_a_number_changes_nothing(tmp_path: Path, capsys) -> None:
    module = fit(tmp_path, [1.0, float("nan"), 1.0, 1.0])
    # v = 1, then skipped, then v = 0.5 · 1 + 1 = 1.5: w = 1, 0.9, 0.9, 0.75
    assert module.seen == pytest.approx([1.0, 0.9, 0.9, 0.75])
    assert module.w.item() == pytest.approx(0.75 - 0.1 * 1.75)
    assert "step 1: the loss or its gradient is not a number; skipped" in capsys.readouterr().err


def test_the_second_one_stops_and_names_its_cases(tmp_path: Path, capsys) -> None:
    with pytest.raises(DivergedRunError, match="2 times now; the batch's cases: c2"):
        fit(tmp_path, [float("inf"), 1.0, float("nan"), 1.0])
    assert "cases: c0" in capsys.readouterr().err


def test_all_batches_of_an_accumulated_step_are_named(tmp_path: Path, capsys) -> None:
    fit(tmp_path, [1.0, 1.0, 1.0, float("nan")], accumulate_grad_batches=2)
    assert "cases: c2, c3" in capsys.readouterr().err


def test_clean_training_is_untouched(tmp_path: Path, capsys) -> None:
    module = fit(tmp_path, [1.0, 1.0])
    assert module.w.item() == pytest.approx(1 - 0.1 - 0.15)
    assert not capsys.readouterr().err
