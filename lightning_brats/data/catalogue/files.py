"""Where a catalogue's file lies, how it is written in one step, and when an old one goes."""

from __future__ import annotations

import time
import uuid
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

FOLDER = "catalogues"
KEPT, KEPT_SECONDS = 3, 30 * 86_400
"""Superseded files that stay in any case, and how long the others do.

Processes on other hosts may have them mapped, and would crash without them.
"""


def file_name(cache: Path, key: str) -> Path:
    """Where catalogues with this key go, but for their time."""
    return cache / FOLDER / f"{key}.arrow"


def saved(name: Path) -> list[Path]:
    """Files under a name, newest first.

    Args:
        name: See `file_name`.
    """
    return sorted(name.parent.glob(f"{name.stem}-*{name.suffix}"), reverse=True)


def read(path: Path) -> pa.Table:
    """A table, mapped into memory.

    Raises:
        OSError: The file cannot be read.
        pyarrow.ArrowException: It is no table.
    """
    options = pa.ipc.IpcReadOptions(use_threads=False)  # threads do not survive a fork
    return pa.ipc.open_file(pa.memory_map(str(path)), options=options).read_all()


def write(table: pa.Table, name: Path) -> Path:
    """Write a table in one step, beside those it supersedes.

    Args:
        table: A row a case.
        name: See `file_name`.

    Raises:
        OSError: The folder cannot be written to.
    """
    name.parent.mkdir(parents=True, exist_ok=True)
    path = name.with_stem(f"{name.stem}-{time.time_ns():020d}")
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with pa.OSFile(str(partial), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table.combine_chunks())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _remove_superseded(name)
    return path


def _remove_superseded(name: Path) -> None:
    """Take old files away, but none that a run may have begun with."""
    for path in saved(name)[1 + KEPT :]:
        with suppress(OSError):  # somebody else's, or gone by now
            if time.time() - path.stat().st_mtime > KEPT_SECONDS:
                path.unlink()
