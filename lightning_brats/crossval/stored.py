"""The file that names an ensemble: checkpoints, and post-processing that goes with their mean."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from lightning_brats.errors import ConfigError
from lightning_brats.postprocess import Postprocess

ENSEMBLE = "ensemble.json"


@dataclass(frozen=True)
class StoredEnsemble:
    """Networks to be used together.

    Args:
        checkpoints: Their files.
        postprocess: For what they say together; `None` leaves it to the checkpoints.
    """

    checkpoints: tuple[Path, ...]
    postprocess: Postprocess | None = None

    def save(self, folder: Path) -> Path:
        """Write `ensemble.json` into a folder; `checkpoint=<folder>` then means all of them."""
        path = folder / ENSEMBLE
        chosen = None if self.postprocess is None else self.postprocess.to_dict()
        content = {"checkpoints": [str(file) for file in self.checkpoints], "postprocess": chosen}
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: Path) -> StoredEnsemble:
        """Read what `save` wrote.

        Raises:
            ConfigError: The file is damaged, or a checkpoint is not where it was.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            checkpoints = tuple(Path(file) for file in content["checkpoints"])
            chosen = content["postprocess"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"the ensemble cannot be read ({error!r})",
                file=path,
                remedy="make it again: python experiments/evaluate.py 'runs=[RUN,RUN,…]'",
            ) from error
        gone = [file for file in checkpoints if not file.is_file()]
        if gone or not checkpoints:
            raise ConfigError(
                f"{len(gone)} of the ensemble's {len(checkpoints)} checkpoints are missing: "
                f"{', '.join(map(str, gone))}",
                file=path,
                remedy="put them back, correct the paths, or make it again with evaluate.py",
            )
        return cls(checkpoints, None if chosen is None else Postprocess.from_dict(chosen))


def stored_ensemble(place: Path) -> StoredEnsemble | None:
    """The ensemble that a path names, itself or by its folder; `None` where it names none."""
    file = place / ENSEMBLE if place.is_dir() else place
    return StoredEnsemble.load(file) if file.name == ENSEMBLE and file.is_file() else None
