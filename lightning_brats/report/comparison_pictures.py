"""What every choice made of a case, side by side: finding the masks and drawing them.

Shapes: `X Y Z` voxels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from lightning_brats.comparison.entry import Entry
from lightning_brats.data.case import Case, Volume
from lightning_brats.data.reading import read_mask, read_native
from lightning_brats.errors import BratsError, DataError
from lightning_brats.evaluation.files import read_prediction
from lightning_brats.evaluation.pairing import Pairing, pair_files
from lightning_brats.figures.comparison_slices import REFERENCE, View, views
from lightning_brats.figures.scene import make_scene
from lightning_brats.parts import build, plain
from lightning_brats.report.comparison_shown import Shown, better

MOST_CHOICES = 12
"""Choices drawn, the best ones, so that a page of any comparison stays below 15 MB."""
CONFIG = "config.yaml"


@dataclass(frozen=True)
class Drawn:
    """Pictures of a case.

    Args:
        views: Ways to look at it.
        entries: Choice → whose mask is shown.
        regions: Those that are seen.
    """

    views: list[View]
    entries: dict[str, Entry]
    regions: list[str]


def known_cases(entries: Sequence[Entry], wanted: Iterable[str]) -> tuple[dict[str, Case], str]:
    """The cases' files, from the first run whose data set is where the run found it.

    Returns:
        Cases by identifier, and why there are none.
    """
    names, tried = set(wanted), set()
    problem = "no run tells where the images are"
    for entry in entries:
        if not (entry.folder / CONFIG).is_file():
            continue
        source = plain(OmegaConf.load(entry.folder / CONFIG)).get("data") or {}
        source.pop("cache", None)
        if "_target_" not in source or repr(source) in tried:
            continue
        tried.add(repr(source))
        try:
            found = {case.case: case for case in build(source).cases if case.case in names}
        except BratsError as error:
            problem = error.problem
            continue
        if found:
            return found, ""
        problem = f"the data set of {entry.name} has none of the cases"
    return {}, problem


class Pictures:
    """Draws cases of a comparison.

    Args:
        shown: The comparison.
        cases: By identifier.

    Attributes:
        problems: What could not be shown, and why.
    """

    def __init__(self, shown: Shown, cases: Mapping[str, Case]) -> None:
        self.shown, self.cases = shown, cases
        self.files = {
            id(entry): _files(entry, list(cases.values())) for entry in shown.found.entries
        }
        self.problems: list[str] = []

    def draw(self, name: str) -> Drawn | None:
        """A case as the reference and every choice have it; `None` where nothing can be shown."""
        case = self.cases.get(name)
        if case is None or case.mask is None:
            return None
        try:
            volume = read_native(case) if case.images else _masks_alone(case)
        except DataError as error:
            self.problems.append(f"{name}: {error.problem}")
            return None
        masks, entries = {REFERENCE: volume.mask}, {}
        for choice in self.shown.choices[:MOST_CHOICES]:
            entry = self._middle(choice, name)
            labels = None if entry is None else self._labels(entry, case, volume)
            if entry is not None and labels is not None:
                masks[choice], entries[choice] = labels, entry
        if not entries:
            return None
        modalities = tuple(case.images) or ("masks",)
        scene = make_scene(volume.image, modalities, masks, volume.affine, volume.brain)
        return Drawn(views(scene), entries, scene.regions)

    def _middle(self, choice: str, case: str) -> Entry | None:
        """Of a choice's runs with a mask of the case, the one of median score on it."""
        metric = self.shown.found.settings.main
        found = [
            entry
            for entry in self.shown.found.entries
            if entry.choice == choice and self.files[id(entry)].get(case)
        ]
        scores = pd.Series({i: _mean(entry, case, metric) for i, entry in enumerate(found)})
        order = better(metric, scores)
        return found[int(order[len(order) // 2])] if order else next(iter(found), None)

    def _labels(self, entry: Entry, case: Case, volume: Volume) -> np.ndarray | None:
        path = self.files[id(entry)][case.case]
        try:
            return read_prediction(case, path, volume.image.shape[1:], volume.affine, True)
        except DataError as error:
            self.problems.append(f"{case.case} by {entry.choice}: {error.problem}")
            return None


def _files(entry: Entry, cases: Sequence[Case]) -> dict[str, Any]:
    """Case → its predicted mask, as far as there is one."""
    folder = entry.folder / "predictions"
    if not folder.is_dir():
        # A run keeps masks of other cases beside its predictions; a scored folder is all masks.
        folder = entry.folder if not (entry.folder / CONFIG).is_file() else folder
    if not folder.is_dir():
        return {}
    try:
        found: Pairing = pair_files(folder, cases)
    except DataError:
        return {}
    return {case: path for case, path in found.files.items() if path is not None}


def _mean(entry: Entry, case: str, metric: str) -> float:
    table = entry.scores
    own = table[(table["case"] == case) & (table["metric"] == metric)]
    return float(own["value"].mean())


def _masks_alone(case: Case) -> Volume:
    """The reference on black, where a data set has no images."""
    assert case.mask is not None
    mask, affine = read_mask(case.mask, case.scheme, case.case)
    return Volume(np.zeros((1, *mask.shape), np.float32), affine, mask, np.ones(mask.shape, bool))
