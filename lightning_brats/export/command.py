"""`experiments/export.py`: a checkpoint as a folder that other programs can use."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lightning_brats.data.audit import check_writable
from lightning_brats.errors import ConfigError
from lightning_brats.export.graph import patch_shape, trace, write_onnx, write_program
from lightning_brats.export.network import need
from lightning_brats.export.parity import TOLERANCE, largest_difference, phantom_volume
from lightning_brats.export.stored import DESCRIPTION, FILES, describe, load_exported
from lightning_brats.prediction.models import find_checkpoints, load_task
from lightning_brats.report.card import CARD
from lightning_brats.runs import write_json
from lightning_brats.task import SegmentationTask

PACKAGES = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "pt2": ()}


def export(cfg: DictConfig) -> Path:
    """Write a trained network's graph, `model.json` and model card into one folder.

    Args:
        cfg: `configs/export.yaml`.

    Returns:
        The folder; `experiments/predict.py checkpoint=<folder>` predicts with it.

    Raises:
        ConfigError: The checkpoint or a setting cannot be used, a package is missing, or the graph
            gives other probabilities than the network.
    """
    if cfg.format not in FILES:
        raise ConfigError(f"format={cfg.format}: choose {' or '.join(FILES)}")
    need(*PACKAGES[cfg.format])
    checkpoint = _only_checkpoint(cfg)
    task, folder = load_task(checkpoint), Path(cfg.output)
    check_writable(folder)
    size = "×".join(map(str, task.inference.patch_size))
    print(f"exporting {checkpoint} as {cfg.format}", flush=True)
    print(f"  patches  {size} voxels, batches of any size; logits of {', '.join(task.regions)}")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as made:
        _write(task, cfg.format, Path(made))
        _copy_card(checkpoint, Path(made))
        _replace(folder, Path(made))
    print(f"to segment: python experiments/predict.py checkpoint={folder} input=DIR output=DIR")
    return folder


def _only_checkpoint(cfg: DictConfig) -> Path:
    named: Any = OmegaConf.to_container(cfg)["checkpoint"]  # type: ignore[call-overload, index]
    found = find_checkpoints(named)
    if len(found) > 1:
        listed = ", ".join(map(str, found[:4]))
        raise ConfigError(
            f"{len(found)} checkpoints are named: {listed}",
            remedy="export one at a time; predict.py takes several exported folders as an ensemble",
        )
    if found[0].name == DESCRIPTION:
        raise ConfigError(
            "this is an export already", file=found[0], remedy="name the run's checkpoint"
        )
    return found[0]


def _write(task: SegmentationTask, kind: str, folder: Path) -> None:
    """Graph and description, once the graph has been read back and compared."""
    (write_onnx if kind == "onnx" else write_program)(trace(task), folder / FILES[kind])
    shape = patch_shape(task)
    write_json(folder / DESCRIPTION, describe(task, kind, shape, None))
    exported = load_exported(folder / DESCRIPTION)
    difference = largest_difference(task, exported, phantom_volume(task))
    allowed = f"{TOLERANCE:g} is allowed"
    if not difference <= TOLERANCE:  # NaN neither
        raise ConfigError(
            f"the exported network's probabilities differ by up to {difference:.2g}; {allowed}",
            remedy="export in the other format: format=" + ("pt2" if kind == "onnx" else "onnx"),
        )
    print(
        f"  parity   probabilities of a phantom case differ by at most {difference:.1e}; {allowed}",
        flush=True,
    )
    parity = {"largest_difference": difference, "allowed": TOLERANCE}
    write_json(folder / DESCRIPTION, describe(task, kind, shape, parity))


def _copy_card(checkpoint: Path, folder: Path) -> None:
    """The run's model card: it lies beside the folder of checkpoints."""
    card = checkpoint.parent.parent / CARD
    if card.is_file():
        shutil.copyfile(card, folder / CARD)
    else:
        print(f"  no {CARD} beside the checkpoint's folder: the export goes without")


def _replace(folder: Path, made: Path) -> None:
    """Put a checked export where an earlier one may lie, of which nothing stays.

    The description goes first and comes last: without it, a folder is no export.
    """
    for stale in (DESCRIPTION, *FILES.values(), CARD):
        (folder / stale).unlink(missing_ok=True)
    for path in sorted(made.iterdir(), key=lambda path: path.name == DESCRIPTION):
        megabytes = path.stat().st_size / 1e6
        print(f"  {megabytes:8.2f} MB  {path.replace(folder / path.name)}")
