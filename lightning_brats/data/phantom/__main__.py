"""Write a phantom data set: `python -m lightning_brats.data.phantom layout=msd root=/data/phantom`.

Settings are `key=value` pairs, those of `write_phantom`; the scanner's are `scanner.noise=2` etc.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightning_brats.cli import friendly
from lightning_brats.data.phantom import LAYOUTS, default_root, write_phantom
from lightning_brats.errors import ConfigError


@dataclass
class _Settings:
    root: str | None = None
    layout: str = "brats2021"
    cases: int = 24
    seed: int = 0
    spacing: float = 2.0
    scanner: dict[str, float] = field(default_factory=dict)
    labelled: bool = True
    workers: int | None = None


@friendly
def main(arguments: Sequence[str]) -> None:
    """Parse and write.

    Raises:
        ConfigError: A key, a layout or a value that does not exist.
        DataError: The folder holds something else.
    """
    if {"-h", "--help"} & set(arguments):
        print(__doc__, _choices(), sep="\n")
        return
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = _parse(arguments)
    root = settings.pop("root") or default_root(**settings)
    print(f"phantom: {write_phantom(root, **settings)}")
    print("Made-up tumours: scores on this data mean nothing clinically.")


def _parse(arguments: Sequence[str]) -> dict[str, Any]:
    known = {entry.name for entry in fields(_Settings)}
    for argument in arguments:
        key, equals, _ = argument.partition("=")
        if not equals or key.split(".")[0] not in known:
            raise ConfigError(f"'{argument}' is not a setting", remedy=_choices())
    try:
        given = OmegaConf.from_dotlist(list(arguments))
        settings = OmegaConf.merge(OmegaConf.structured(_Settings), given)
        return vars(OmegaConf.to_object(settings))
    except OmegaConfBaseException as error:
        problem = f"{error.full_key}: {str(error).splitlines()[0]}"
        raise ConfigError(problem, remedy=_choices()) from error


def _choices() -> str:
    keys = ", ".join(entry.name for entry in fields(_Settings))
    return f"keys: {keys}\nlayouts: {', '.join(LAYOUTS)}"


if __name__ == "__main__":
    main(sys.argv[1:])
