"""`torch.compile`: the same training, and the way back."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from lightning_brats.callbacks import CompiledNetwork
from lightning_brats.inference import SlidingWindow
from lightning_brats.models import UNet
from lightning_brats.task import SegmentationTask

SHAPE = (2, 1, 16, 16, 16)


def batches() -> DataLoader:
    generator = torch.Generator().manual_seed(0)
    items = [
        {
            "image": torch.randn(SHAPE[1:], generator=generator),
            "mask": torch.randint(0, 4, (1, *SHAPE[2:]), generator=generator).to(torch.uint8),
        }
        for _ in range(6)
    ]
    return DataLoader(items, batch_size=2)


def trained(tmp_path: Path, *callbacks: pl.Callback) -> SegmentationTask:
    torch.manual_seed(0)
    window = SlidingWindow((16, 16, 16), precision="32")
    task = SegmentationTask(UNet(1, 3, size="tiny", norm="batch", dropout=0.1), inference=window)
    torch.manual_seed(1)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        default_root_dir=tmp_path,
    )
    trainer.fit(task, batches())
    return task


def test_where_it_fails_training_is_as_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial leaves running averages, gradients and random numbers as they were."""
    plain = trained(tmp_path)

    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no compiler\nmore lines")

    def compiled(function: object, **kwargs: object) -> object:
        return broken

    monkeypatch.setattr(torch, "compile", compiled)
    callback = CompiledNetwork(SHAPE)
    with pytest.warns(UserWarning, match="runs uncompiled .RuntimeError: no compiler."):
        task = trained(tmp_path, callback)
    first, second = plain.state_dict(), task.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_trial_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a compiler that changes nothing, so that the numbers can be compared to the bit."""
    plain = trained(tmp_path)
    monkeypatch.setattr(torch, "compile", lambda function, **kwargs: function)
    callback = CompiledNetwork(SHAPE)
    task = trained(tmp_path, callback)
    assert callback.failure is None
    first, second = plain.state_dict(), task.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert task.net._compiled_call_impl is None


@pytest.mark.slow
def test_compiled_training_follows_the_uncompiled_one(tmp_path: Path) -> None:
    """Dropout draws its own numbers when compiled, so there is none here."""
    torch.manual_seed(0)
    net = UNet(1, 3, size="tiny")
    x = torch.randn(SHAPE)
    expected = net.train()(x)
    net.compile()
    assert torch.allclose(net(x), expected, atol=1e-4)
    callback = CompiledNetwork(SHAPE)
    trained(tmp_path, callback)
    assert callback.failure is None
