"""Imports go down only: what a file may use follows from where it lies."""

import ast
from pathlib import Path

import pytest

import lightning_brats

PACKAGE = Path(lightning_brats.__file__).parent
LAYERS = {
    "errors": 0,
    "labels": 0,
    "parallel": 0,
    "slices": 1,
    "models": 1,
    "losses": 1,
    "optim": 1,
    "metrics": 1,
    "postprocess": 1,
    "augment": 1,
    "data": 2,
    "inference": 2,
    "machine": 2,
    "ranks": 2,
    "slurm": 2,
    "fitting": 2,
    "memory_trial": 2,
    "memory": 2,
    "energy": 2,
    "parts": 2,
    "cli": 2,
    "configs": 0,
    "landmarks": 3,
    "preparation": 3,
    "splitting": 3,
    "matching": 3,
    "clock": 3,
    "continuing": 4,
    "task": 3,
    "adversarial": 3,
    "callbacks": 4,
    "checkpoints": 4,
    "warmstart": 4,
    "evaluation": 4,
    "comparison": 4,
    "figures": 4,
    "report": 4,
    "tracking": 4,
    "runs": 4,
    "console": 4,
    "crossval": 4,
    "audit": 4,
    "preparation_command": 5,
    "prediction": 5,
    "segmentation": 5,
    "tuning_run": 4,
    "results": 5,
    "assembly": 5,
    "compatible": 5,
    "resolving": 5,
    "sweeps": 5,
    "dashboard": 5,
    "gallery": 5,
    "baselines": 5,
    "synthesis": 5,
    "export": 5,
    "explain": 5,
    "followup": 5,
    "experiment": 5,
    "app": 6,
    "__main__": 6,
    "__init__": 6,
}
FRAMEWORKS = {"pytorch_lightning", "torchio", "hydra", "omegaconf", "wandb"}
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    own = LAYERS[part(path)]
    for name in imported(path):
        top, *rest = name.split(".")
        if top == "lightning_brats" and rest and rest[0] in LAYERS:
            assert LAYERS[rest[0]] <= own, f"{path.name} (layer {own}) imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_science_does_not_know_the_frameworks(path: Path) -> None:
    if LAYERS[part(path)] <= 1 and path.name != "__main__.py":
        used = {name.split(".")[0] for name in imported(path)}
        assert not used & FRAMEWORKS


def test_only_tracking_knows_wandb() -> None:
    users = {part(p) for p in FILES if any(n.split(".")[0] == "wandb" for n in imported(p))}
    assert users == {"tracking"}
