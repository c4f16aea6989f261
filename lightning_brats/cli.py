"""What every command shares: errors a user can act on.

Imports nothing heavy, so that `--help` and misspelt names answer at once.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from omegaconf.errors import MissingMandatoryValue

from lightning_brats.errors import BratsError

CONFIGS = "pkg://lightning_brats.configs"


STATUS = {"InterruptedRunError": 130, "PrunedRunError": 3}
"""Exit status where a run ended early and nothing is wrong; by name, as importing them is slow."""


def friendly(command: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Print a `BratsError` as its message; status 2, or that of `STATUS`.

    Where Lightning started this process, 0 instead of the latter: it kills the run's first process,
    which may still have something to finish, as soon as another ends with anything else.
    """

    @functools.wraps(command)
    def wrapped(cfg: Any) -> Any:
        try:
            return command(cfg)
        except BratsError as error:
            status = STATUS.get(type(error).__name__, 2)
            print(f"\n{'error: ' if status == 2 else ''}{error}", file=sys.stderr)
            sys.exit(0 if status != 2 and _is_lightning_s() else status)
        except MissingMandatoryValue as error:
            name = getattr(error, "full_key", None) or "a value"
            print(f"\nerror: {name} is not given; see --help", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            print("\nstopped", file=sys.stderr)
            sys.exit(130)

    return wrapped


def _is_lightning_s() -> bool:
    """Whether the run's first process started this one, and not torchrun or SLURM."""
    return os.environ.get("LOCAL_RANK", "0") != "0" and "TORCHELASTIC_RUN_ID" not in os.environ
