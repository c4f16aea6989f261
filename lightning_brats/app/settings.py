"""What the command tells the page: where runs are, and how much anybody may ask for."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from functools import cache


@dataclass(frozen=True)
class Settings:
    """Settings of a running app.

    Args:
        runs: Folder of trained runs.
        upload_mb: Largest upload in MB, and what an archive may unfold to, times `UNFOLDED`.
        waiting: Predictions that may wait for the one that runs.
        results: Results kept in memory, of all users together; the oldest go first.
    """

    runs: str = "runs"
    upload_mb: int = 500
    waiting: int = 8
    results: int = 8

    def to_argument(self) -> str:
        """For the command line of the page's process."""
        return json.dumps(asdict(self))


UNFOLDED = 4
"""Bytes that an archive may unfold to, for each byte that may be uploaded."""


@cache
def settings() -> Settings:
    """The settings that this process was started with."""
    return Settings(**json.loads(sys.argv[1])) if len(sys.argv) > 1 else Settings()
