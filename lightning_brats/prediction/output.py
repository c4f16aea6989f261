"""What is written of every segmented case: mask, soft maps, and a line of the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from lightning_brats.data.case import Case
from lightning_brats.data.preprocess import Geometry
from lightning_brats.data.reading import read_native
from lightning_brats.errors import ConfigError, DataError
from lightning_brats.labels import region_masks
from lightning_brats.parts import build
from lightning_brats.postprocess import Postprocess
from lightning_brats.prediction.cases import BadCases
from lightning_brats.prediction.segmenter import Prediction
from lightning_brats.prediction.soft import SoftFacts, save_probabilities
from lightning_brats.prediction.writing import Table, save_labels, save_map


class Output:
    """A folder of predictions, with the table `predictions.csv`.

    Args:
        folder: Exists.
        regions: Of the predictions.
        postprocess: That made their labels; kept with probabilities. `None` where there were
            several.
        probabilities: Whether to write `<case>_probabilities.nii.gz`.
        uncertainty: Whether to write `<case>_entropy.nii.gz` and `_mutual_information.nii.gz`.
        figures: Whether to draw `figures/<case>.png`.
    """

    def __init__(
        self,
        folder: Path,
        regions: Sequence[str],
        postprocess: Postprocess | None,
        probabilities: bool,
        uncertainty: bool,
        figures: bool = False,
    ) -> None:
        self.folder, self.postprocess = folder, postprocess
        self.probabilities, self.uncertainty, self.figures = probabilities, uncertainty, figures
        self.table = Table(folder / "predictions.csv", _columns(regions))

    def add(self, case: Case, found: Prediction) -> Path:
        """Write a case, the mask after its soft maps: where there is a mask, these are there too.

        Returns:
            The mask's path.
        """
        name, geometry = case.case, found.geometry
        if self.probabilities:
            path = self.folder / f"{name}_probabilities.nii.gz"
            facts = SoftFacts(tuple(found.dice), case.scheme, self.postprocess)
            save_probabilities(path, geometry, found.probabilities, facts)
        if self.uncertainty:
            save_map(self.folder / f"{name}_entropy.nii.gz", geometry, found.entropy)
            if found.disagreement is not None:
                path = self.folder / f"{name}_mutual_information.nii.gz"
                save_map(path, geometry, found.disagreement)
        path = save_labels(self.folder, case, geometry, found.labels)
        if self.figures:
            draw(case, path, self.folder / "figures")
        self.table.add(_row(case, found))
        return path


def draw(case: Case, mask: Path, folder: Path) -> Path:
    """Write `<case>.png`: every modality with the mask's contours, on the mask's grid.

    Args:
        case: With images.
        mask: What was found, in the case's coding.
        folder: Made when missing.
    """
    # Here, because drawing takes a second to load and is seldom asked for.
    from lightning_brats.figures import case_panel, save_png

    volume = read_native(replace(case, mask=mask))
    names = list(case.images)
    figure = case_panel(
        volume.image, names, None, volume.mask, volume.affine, case.case, volume.brain
    )
    return save_png(figure, folder / f"{case.case}.png")


def chosen_postprocess(cfg: DictConfig) -> Postprocess | None:
    """The post-processing that the user names; `None` leaves it to what is predicted with.

    Raises:
        ConfigError: It is one that a run tunes.
    """
    chosen = cfg.get("postprocess")
    postprocess = None if chosen is None else build(OmegaConf.to_container(chosen, resolve=True))
    if not isinstance(postprocess, Postprocess | None):
        raise ConfigError(
            "post-processing is tuned by a run, on its validation cases",
            remedy="leave postprocess out: what a run chose is in its checkpoint",
        )
    return postprocess


def finish(bad: BadCases, done: int, written: Output | None, source: str | Path) -> Path:
    """List what was skipped, and say where the table is.

    Args:
        bad: What was skipped.
        done: Cases written.
        written: Where to; `None` where nothing was.
        source: Where cases came from.

    Returns:
        The folder of masks.

    Raises:
        DataError: Nothing was written.
    """
    bad.report()
    if written is None or not done:
        raise DataError("no case could be segmented", file=source, remedy="see above")
    print(f"  volumes and predicted Dice: {written.table.path}", flush=True)
    return written.folder


def _columns(regions: Sequence[str]) -> list[str]:
    volumes = [f"{region}_ml" for region in regions]
    return ["case", *volumes, *(f"{region}_predicted_dice" for region in regions), "tumour_entropy"]


def _row(case: Case, found: Prediction) -> dict[str, Any]:
    """A case's line of `predictions.csv`; `tumour_entropy` is empty where there is no tumour."""
    regions = list(found.dice)
    masks = region_masks(found.labels, regions)
    voxel = _millilitres(found.geometry)
    volumes = {f"{r}_ml": float(m.sum()) * voxel for r, m in zip(regions, masks, strict=True)}
    expected = {f"{region}_predicted_dice": value for region, value in found.dice.items()}
    inside = found.entropy[region_masks(found.labels, ["WT"])[0]]
    mean = float(inside.mean()) if inside.size else None
    return {"case": case.case, **volumes, **expected, "tumour_entropy": mean}


def _millilitres(geometry: Geometry) -> float:
    """Volume of a voxel."""
    return abs(float(np.linalg.det(np.asarray(geometry.affine)[:3, :3]))) / 1000
