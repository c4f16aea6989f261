"""One run of a trial: its overrides, its files, its environment."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from optuna.trial import Trial

from lightning_brats.sweeps.entries import IDENTITY, OVERRIDES, Entry
from lightning_brats.sweeps.plan import Plan
from lightning_brats.sweeps.reporting import TRIAL

RUN_VARIABLE = "LIGHTNING_BRATS_RUN"
"""Names a run's folder; the run goes on in it where it has begun (see `lightning_brats.runs`)."""
LAUNCHERS = ("SLURM_", "OMPI_", "PMI", "TORCHELASTIC_", "MASTER_")
RANKS = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK"}
"""What a launcher tells the worker must not reach a trial, which would take itself for a rank."""


@dataclass(frozen=True)
class Job:
    """A run with its files.

    Args:
        number: Among the trial's runs.
        overrides: Of its configuration.
        folder: Where its results go; the log lies beside it.
    """

    number: int
    overrides: tuple[str, ...]
    folder: Path

    @property
    def log(self) -> Path:
        """What it prints, all attempts one after the other."""
        return self.folder.with_name(f"{self.folder.name}.log")

    @property
    def lock(self) -> Path:
        """Held while it runs."""
        return self.folder.parent / ".state" / f"{self.folder.name}.lock"

    @property
    def outcome(self) -> Path:
        """How it ended."""
        return self.folder.parent / ".state" / f"{self.folder.name}.json"

    def environment(self, plan: Plan, trial: Trial, gpus: Sequence[str]) -> dict[str, str]:
        """Variables of its process: folder, GPUs, study, and one record at W&B for all attempts."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in RANKS and not name.startswith(LAUNCHERS)
        }
        kept |= {
            RUN_VARIABLE: str(self.folder),
            "WANDB_RUN_GROUP": plan.name,
            "WANDB_RUN_ID": f"{plan.name}-{trial.user_attrs[IDENTITY]}-{self.folder.name}"[-64:],
            "WANDB_RESUME": "allow",
        }
        if gpus:
            kept["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        if plan.settings["pruner"] is not None and len(plan.repeats) == 1:
            kept[TRIAL] = json.dumps(
                {
                    "storage": plan.storage,
                    "study": plan.name,
                    "number": trial.number,
                    "pruner": plan.settings["pruner"],
                }
            )
        return kept


def jobs_of(plan: Plan, entry: Entry, trial: Trial) -> list[Job]:
    """The runs of a trial; of a search the sampler chooses now, unless it has before.

    Raises:
        ConfigError: The budget does not fit what was chosen.
    """
    if plan.space is None:
        runs = [list(trial.user_attrs[OVERRIDES])]
    else:
        runs = plan.jobs(plan.space.sample(trial))
    (plan.folder / ".state").mkdir(parents=True, exist_ok=True)
    name = f"trial-{entry.root:04}"
    return [
        Job(i, tuple(run), plan.folder / (f"{name}-{i}" if len(runs) > 1 else name))
        for i, run in enumerate(runs)
    ]
