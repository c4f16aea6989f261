"""What happens around training: the table of epochs, the progress line, and a safe stop."""

from __future__ import annotations

import csv
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lightning_brats.data.datamodule import BratsDataModule
from lightning_brats.errors import BratsError


class InterruptedRunError(BratsError):
    """Training was asked to stop; its state is saved."""


class EpochTable(pl.Callback):
    """`metrics.csv`: one row an epoch, written as it ends, kept when a run goes on.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._started = (0.0, 0.0)
        self._before = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Seconds spent in the current epoch, for a run that stops within it."""
        return {"seconds": self._before + time.perf_counter() - self._started[0]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Seconds that the epoch had taken when the run stopped."""
        self._before = state_dict["seconds"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock for a run that goes on within an epoch."""
        self._started = (time.perf_counter(), _waited(trainer))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._started, self._before = (time.perf_counter(), _waited(trainer)), 0.0

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the row; validation, where there was one, has its values already."""
        # On every rank, because reading the metrics makes the ranks exchange them.
        values = {name: float(v) for name, v in trainer.callback_metrics.items()}
        if not trainer.is_global_zero:
            return
        seconds = self.state_dict()["seconds"]
        validated = _validates(trainer)
        data = _data(trainer)
        patches = trainer.num_training_batches * (data.settings.batch_size if data else 1)
        row: dict[str, Any] = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "train/loss": values["train/loss"],
            **{name: _known(values, name, validated) for name in _validation_names(pl_module)},
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "seconds": round(seconds, 3),
            "patches_per_second": round(patches * trainer.world_size / seconds, 3),
            "wait_share": round((_waited(trainer) - self._started[1]) / seconds, 4),
        }
        self._write(row)
        for logger in trainer.loggers:
            known = {k: v for k, v in row.items() if v != "" and k not in ("epoch", "step")}
            logger.log_metrics({**known, "epoch": row["epoch"]}, step=trainer.global_step)

    def _write(self, row: dict[str, Any]) -> None:
        kept: list[dict[str, str]] = []
        if self.path.exists():
            with self.path.open(newline="") as stream:
                kept = [old for old in csv.DictReader(stream) if int(old["epoch"]) < row["epoch"]]
        partial = self.path.with_suffix(".partial")
        with partial.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(row))
            writer.writeheader()
            writer.writerows([*kept, row])
        partial.replace(self.path)


class TrainingProgress(pl.Callback):
    """One bar over the whole training with the time left; plain lines where nobody watches."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._started = 0.0
        self._first_step = 0
        self._shown = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar."""
        self._started, self._first_step = time.perf_counter(), trainer.global_step
        if trainer.is_global_zero and sys.stdout.isatty():
            self._bar = Progress(
                TextColumn("training"),
                BarColumn(),
                TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
            )
            total = int(trainer.estimated_stepping_batches)
            self._bar.add_task("", total=total, completed=trainer.global_step)
            self._bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *args: Any
    ) -> None:
        """Move the bar; the loss is read once a second, so that no step waits for it."""
        if self._bar is None or time.perf_counter() - self._shown < 1:
            return
        self._shown = time.perf_counter()
        text = _line(trainer, float(outputs["loss"]))
        self._bar.update(self._bar.task_ids[0], completed=trainer.global_step, description=text)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A line an epoch, with the time left."""
        loss = float(trainer.callback_metrics["train/loss"])  # on every rank, as above
        if not trainer.is_global_zero or self._bar is not None:
            return
        total, done = int(trainer.estimated_stepping_batches), trainer.global_step
        spent = time.perf_counter() - self._started
        left = spent / max(done - self._first_step, 1) * (total - done)
        epochs = trainer.max_epochs
        print(
            f"  epoch {trainer.current_epoch + 1:>3}/{epochs}  step {done}/{total}  "
            f"{_line(trainer, loss)}  left {left / 60:.1f} min",
            flush=True,
        )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, *args: Any) -> None:
        """Close the bar, so that the message stands below it."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class RandomState(pl.Callback):
    """Keeps torch's generators in the checkpoint, so that dropout goes on where it stopped."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Generators of the CPU and of the current GPU."""
        state = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            state["cuda"] = torch.cuda.get_rng_state()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Kept until the first step, because starting up draws random numbers too."""
        self._loaded = state_dict

    def on_train_batch_start(self, *args: Any) -> None:
        """Put the generators back, once."""
        if self._loaded is None:
            return
        torch.set_rng_state(self._loaded["cpu"].cpu())
        if torch.cuda.is_available() and "cuda" in self._loaded:
            torch.cuda.set_rng_state(self._loaded["cuda"].cpu())
        self._loaded = None


class SafeStop(pl.Callback):
    """Ctrl-C or SIGTERM: finish the step, save everything, say how to go on.

    A second signal stops at once.

    Args:
        path: Checkpoint to write.
        how: Command that continues the run.
    """

    def __init__(self, path: Path, how: str) -> None:
        self.path, self.how = path, how
        self.asked = False
        self._previous: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the signals, also from Lightning, which would drop the state."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._ask)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Stop here, unless the epoch ends anyway: its validation would be lost."""
        if batch_idx + 1 < trainer.num_training_batches:
            self._stop_if_asked(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop here."""
        self._stop_if_asked(trainer)

    def _stop_if_asked(self, trainer: pl.Trainer) -> None:
        """Save and stop, on all ranks together, when any of them was asked to."""
        asked = self.asked
        if trainer.world_size > 1:
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        if asked:
            trainer.save_checkpoint(self.path)
            raise self._interruption()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give the signals back."""
        self._restore()

    def on_exception(self, *args: Any) -> None:
        """Give the signals back."""
        self._restore()

    def _interruption(self) -> InterruptedRunError:
        """The message the user reads."""
        return InterruptedRunError(
            "stopped as asked; the state is saved", file=self.path, remedy=f"go on with: {self.how}"
        )

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("\nStopping after this step; press Ctrl-C again to stop at once.", file=sys.stderr)

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}


def _validation_names(module: pl.LightningModule) -> list[str]:
    return [f"val/dice_{name}" for name in (*module.regions, "mean")]  # type: ignore[misc]


def _validates(trainer: pl.Trainer) -> bool:
    every = trainer.check_val_every_n_epoch or 1
    return (trainer.current_epoch + 1) % every == 0


def _known(values: dict[str, float], name: str, wanted: bool) -> float | str:
    return values[name] if wanted and name in values else ""


def _data(trainer: pl.Trainer) -> BratsDataModule | None:
    data = getattr(trainer, "datamodule", None)
    return data if isinstance(data, BratsDataModule) else None


def _waited(trainer: pl.Trainer) -> float:
    data = _data(trainer)
    return data.queue.waited if data and data.queue else 0.0


def _line(trainer: pl.Trainer, loss: float) -> str:
    dice = trainer.callback_metrics.get("val/dice_mean")
    return f"loss {loss:.3f}" + ("" if dice is None else f"  val Dice {float(dice):.3f}")
