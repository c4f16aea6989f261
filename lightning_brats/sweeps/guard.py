"""Stands between a worker and its trial: `python guard.py LOCK OUTCOME COMMAND…`.

However a worker ends, by `kill -9` too, its trial ends with it, all its processes included; so a
trial that is put back never runs twice at once. What the trial ended with is written down before
anybody is told, so that it is not lost, and not computed twice, if the worker ends just then.

The standard library alone, run by its path: a trial should not wait for imports.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

STOP = b"s"
"""Sent by the worker: interrupt the trial, as Ctrl-C would."""


class Guard:
    """Starts the command and answers for it.

    Args:
        outcome: File for the exit status and the seconds.
        command: The trial's.
    """

    def __init__(self, outcome: Path, command: list[str]) -> None:
        self.outcome, self.command = outcome, command
        self.abandoned = self.interrupted = False

    def run(self) -> int:
        """Exit status of the command."""
        started = time.time()
        child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, process_group=0)
        threading.Thread(target=self._listen, args=(child,), daemon=True).start()
        status = child.wait()
        _kill_group(child.pid)  # ranks and data workers that outlived it
        if status == 0 or not (self.abandoned or self.interrupted):
            write(self.outcome, {"status": status, "seconds": round(time.time() - started, 2)})
        return status if status >= 0 else 128 - status

    def _listen(self, child: subprocess.Popen) -> None:
        """Pass on what the worker says; its silence means that it is gone."""
        while os.read(0, 1) == STOP:
            self.interrupted = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGINT)
        self.abandoned = True
        _kill_group(child.pid)


def write(path: Path, content: dict[str, object]) -> None:
    """Write JSON in one step."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content))
    partial.replace(path)


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _called_off() -> bool:
    """Whether the worker has spoken, or gone, before anything was started."""
    return bool(select.select([0], [], [], 0)[0])


def main(lock: str, outcome: str, *command: str) -> int:
    """Wait until no other guard runs this trial, then run it.

    Args:
        lock: File that the guard of a trial holds; the system frees it when the guard ends.
        outcome: JSON file to write; one that is there already says that the trial has ended.
        command: To run.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # the worker decides; children start with defaults
    with open(lock, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if _called_off() or Path(outcome).exists():
            return 0
        return Guard(Path(outcome), list(command)).run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
