import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import MixedPrecision
from pytorch_lightning.strategies import DDPStrategy, FSDPStrategy
from torch.utils.data import DataLoader

from lightning_brats.callbacks import faults
from lightning_brats.callbacks.faults import DivergedRunError, SkipNonFinite, heeds_flag


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


def fit(folder: Path, values: list[float], module: Line | None = None, **settings: Any) -> Line:
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
    module = module or Line()
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


class Steep(Line):
    """A loss of 0 whose gradient is not."""

    def training_step(self, batch: dict, batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        return loss - loss.detach()


class ScaledOnly(MixedPrecision):
    """The gradient scaler of fp16, with nothing computed in 16 bits."""

    def autocast_context_manager(self) -> Any:
        return contextlib.nullcontext()


def scaled(folder: Path, values: list[float], *module: Line, **settings: Any) -> Line:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    plugins = [ScaledOnly("16-mixed", "cpu", scaler)]
    return fit(folder, values, *module, plugins=plugins, **settings)


def test_with_a_scaler_a_loss_that_is_no_number_is_told(tmp_path: Path, capsys) -> None:
    module = scaled(tmp_path, [1.0, float("nan"), 1.0, 1.0])
    assert module.seen == pytest.approx([1.0, 0.9, 0.9, 0.75])
    assert "step 1: the loss or its gradient is not a number; skipped" in capsys.readouterr().err
    values = [1.0, float("nan"), 1.0, 1.0, float("inf"), 1.0]
    with pytest.raises(DivergedRunError, match="2 times now; the batch's cases: c4, c5"):
        scaled(tmp_path, values, accumulate_grad_batches=2)
    assert "cases: c0, c1" in capsys.readouterr().err


def test_a_gradient_that_the_scale_makes_infinite_is_no_fault(tmp_path: Path, capsys) -> None:
    module = scaled(tmp_path, [1.0, 2e38, 1.0], Steep())  # 256 times 2e38 overflows
    assert module.seen == pytest.approx([1.0, 0.9, 0.9])
    assert not capsys.readouterr().err


def test_momenta_are_not_made_in_a_step_that_is_left_out() -> None:
    """A flag would have torch's fused SGD keep whatever lies in memory as its momenta."""
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    made: dict[str, torch.optim.Optimizer] = {
        "momentum": torch.optim.SGD([weight], lr=0.1, momentum=0.9, fused=True),
        "none": torch.optim.SGD([weight], lr=0.1, fused=True),
        "adam": torch.optim.Adam([weight], lr=0.1, fused=True),
        "plain": torch.optim.SGD([weight], lr=0.1, momentum=0.9),
    }
    before = {name: heeds_flag(optimizer) for name, optimizer in made.items()}
    assert before == {"momentum": False, "none": True, "adam": True, "plain": False}
    made["momentum"].step()
    assert heeds_flag(made["momentum"])
    made["momentum"].param_groups[0]["params"].append(late := torch.nn.Parameter(torch.ones(1)))
    assert heeds_flag(made["momentum"])  # without a gradient it takes no part
    late.grad = torch.ones(1)
    assert not heeds_flag(made["momentum"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_the_first_step_may_be_the_one_left_out_on_a_gpu(tmp_path: Path) -> None:
    class Fused(Line):
        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.5, fused=True)

    batches = [{"x": torch.tensor([v]), "case": ["c"]} for v in (float("nan"), 1.0, 1.0)]
    module = Fused()
    trainer = pl.Trainer(
        accelerator="gpu",
        devices=1,
        max_epochs=1,
        callbacks=[SkipNonFinite()],
        default_root_dir=tmp_path,
        enable_checkpointing=False,
        logger=False,
    )
    trainer.fit(module, DataLoader(batches, batch_size=None))
    assert module.seen == pytest.approx([1.0, 1.0, 0.9])


@pytest.mark.parametrize(
    ("strategy", "own", "elsewhere", "expected"),
    [
        (FSDPStrategy, 1.0, 0.0, False),
        (FSDPStrategy, 1.0, 1.0, True),
        (FSDPStrategy, float("nan"), 0.0, True),
        (FSDPStrategy, None, 0.0, False),
        (FSDPStrategy, None, 1.0, True),
        (DDPStrategy, 1.0, 1.0, False),  # its gradients are everybody's: nothing is asked
        (DDPStrategy, None, 1.0, None),
    ],
)
def test_ranks_with_shares_of_the_gradients_judge_together(
    monkeypatch: pytest.MonkeyPatch,
    strategy: type,
    own: float | None,
    elsewhere: float,
    expected: bool | None,
) -> None:
    module = Line()
    module.w.grad = None if own is None else torch.tensor([own])
    trainer: Any = SimpleNamespace(world_size=2, strategy=object.__new__(strategy))
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda count: count.add_(elsewhere))
    bad = faults._bad_gradients(trainer, module)
    assert (None if bad is None else bool(bad)) == expected
