"""Temporary files: a folder a session, gone when the session ends, and at exit."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

PREFIX = "lightning_brats_app_"
GRACE = 60.0
"""Seconds that a browser may be away, as when its page is loaded again."""
INTERVAL = 5.0


class Workspaces:
    """Folders of sessions, below one folder that only this user can read.

    Args:
        is_active: Whether a session has a browser.
        grace: Seconds without one after which a session's folder goes.
    """

    def __init__(self, is_active: Callable[[str], bool], grace: float = GRACE) -> None:
        self.is_active, self.grace = is_active, grace
        clear_abandoned()
        self.root = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}_"))
        self._seen: dict[str, float] = {}
        self._listeners: list[Callable[[str], None]] = []
        self._lock = threading.Lock()
        atexit.register(self.close)

    def folder(self, session: str) -> Path:
        """The session's folder."""
        with self._lock:
            self._seen[session] = time.monotonic()
            path = self.root / session
            path.mkdir(exist_ok=True)
            return path

    def on_end(self, listener: Callable[[str], None]) -> None:
        """Have something else told of sessions that ended."""
        self._listeners.append(listener)

    def sweep(self) -> list[str]:
        """Remove what sessions left that have ended, and name them."""
        now = time.monotonic()
        with self._lock:
            for session in self._seen:
                if self.is_active(session):
                    self._seen[session] = now
            ended = [s for s, seen in self._seen.items() if now - seen > self.grace]
            for session in ended:
                del self._seen[session]
                shutil.rmtree(self.root / session, ignore_errors=True)
        for session in ended:
            for listener in self._listeners:
                listener(session)
        return ended

    def watch(self) -> None:
        """Sweep from now on, in a thread of its own."""

        def run() -> None:
            while self.root.exists():
                time.sleep(INTERVAL)
                self.sweep()

        threading.Thread(target=run, name="workspaces", daemon=True).start()

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.root, ignore_errors=True)


def clear_abandoned() -> list[Path]:
    """Remove what apps left that were killed, and name it."""
    gone = []
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        process = path.name.removeprefix(PREFIX).partition("_")[0]
        if process.isdigit() and not _is_alive(int(process)):
            shutil.rmtree(path, ignore_errors=True)
            gone.append(path)
    return gone


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
