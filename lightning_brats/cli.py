"""What every command shares: errors a user can act on.

Imports nothing heavy, so that `--help` and misspelt names answer at once.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from omegaconf.errors import MissingMandatoryValue

from lightning_brats.errors import BratsError

CONFIGS = "pkg://lightning_brats.configs"


def friendly(command: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Print a `BratsError` as its message; status 2, or 130 where the user stopped the run."""

    @functools.wraps(command)
    def wrapped(cfg: Any) -> Any:
        try:
            return command(cfg)
        except BratsError as error:
            stopped = type(error).__name__ == "InterruptedRunError"
            print(f"\n{'' if stopped else 'error: '}{error}", file=sys.stderr)
            sys.exit(130 if stopped else 2)
        except MissingMandatoryValue as error:
            name = getattr(error, "full_key", None) or "a value"
            print(f"\nerror: {name} is not given; see --help", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            print("\nstopped", file=sys.stderr)
            sys.exit(130)

    return wrapped
