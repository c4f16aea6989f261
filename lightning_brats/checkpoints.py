"""Checkpoints that survive a kill at any moment.

A file is written under another name, flushed to the disk and then renamed, so that a checkpoint is
whole or not there. The one that it replaces stays beside it as `previous.ckpt`; should the disk
have damaged the newest, the one before is used, and that is said.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from lightning_brats.errors import ConfigError, DataError

LAST = "last.ckpt"
PREVIOUS = "previous.ckpt"


class SafeCheckpointIO(TorchCheckpointIO):
    """Writes in one step, and keeps the checkpoint that `last.ckpt` replaces.

    Lightning's own writing moves a file from the temporary folder, which is a copy where that lies
    on another disk, and so can leave half a checkpoint.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint.

        Args:
            checkpoint: What `torch.save` accepts.
            path: Its file; the folder is made when missing.
            storage_options: Not used.

        Raises:
            DataError: The disk is full, or the folder cannot be written to.
        """
        path = Path(path)
        partial = path.with_name(f".{path.name}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as stream:
                torch.save(checkpoint, stream)
                stream.flush()
                os.fsync(stream.fileno())
            if path.name == LAST and path.exists():
                _keep(path, path.with_name(PREVIOUS))
            partial.replace(path)
        except (OSError, RuntimeError) as error:  # torch tells of a full disk by a RuntimeError
            partial.unlink(missing_ok=True)
            raise DataError(
                f"the checkpoint cannot be written ({error})",
                file=path,
                remedy="free space or restore the permission; the checkpoint before is intact, "
                "and resume=auto goes on from it",
            ) from error


def is_intact(path: Path) -> bool:
    """Whether a checkpoint is there and every part of it has the checksum it was written with."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError, ValueError):
        return False


def newest_intact(folder: Path) -> tuple[Path, Path | None]:
    """The checkpoint to go on from, and a damaged newer one that was passed over.

    Args:
        folder: With `last.ckpt`, and `previous.ckpt` where there were two.

    Raises:
        ConfigError: No checkpoint can be read.
    """
    last, previous = folder / LAST, folder / PREVIOUS
    if is_intact(last):
        return last, None
    if is_intact(previous):
        return previous, last
    raise ConfigError(
        "the saved state is damaged, and so is the one before or there is none",
        file=last,
        remedy="start anew without resume, or warm-start from best.ckpt: weights=PATH",
    )


def _keep(path: Path, kept: Path) -> None:
    """Give a file a second name, so that its first is never missing."""
    link = kept.with_name(f".{kept.name}.partial")
    link.unlink(missing_ok=True)
    try:
        os.link(path, link)
    except OSError:  # some network and FAT disks have no links; then a moment without remains
        path.replace(kept)
    else:
        link.replace(kept)
