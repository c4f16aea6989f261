"""Results of all sessions, no more than a given number: memory does not grow with users."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any


class Kept:
    """The newest results, by session and slot.

    Args:
        most: Results of all sessions together.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._found: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, session: str, slot: str, result: Any) -> None:
        """Keep a result instead of the one that was there; the oldest of too many goes."""
        with self._lock:
            self._found.pop((session, slot), None)
            self._found[session, slot] = result
            while len(self._found) > self.most:
                self._found.popitem(last=False)

    def get(self, session: str, slot: str) -> Any | None:
        """A result; `None` where there is none, or no longer."""
        with self._lock:
            if (session, slot) in self._found:
                self._found.move_to_end((session, slot))
            return self._found.get((session, slot))

    def drop(self, session: str) -> None:
        """Forget a session's results."""
        with self._lock:
            for key in [key for key in self._found if key[0] == session]:
                del self._found[key]
