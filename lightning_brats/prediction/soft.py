"""Probabilities on disk: `<case>_probabilities.nii.gz`, (X, Y, Z, R), and what they are of.

What a file needs to be turned into a mask (regions, label coding, post-processing) is in its own
header, as a comment in JSON. Files of other tools have none; then the user says it.

Shapes: `R` regions, `X Y Z` the file's grid, `x y z` a crop.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Extension

from lightning_brats.data.nifti import read_nifti
from lightning_brats.data.preprocess import Geometry
from lightning_brats.errors import DataError
from lightning_brats.labels import LabelScheme
from lightning_brats.postprocess import Postprocess
from lightning_brats.prediction.writing import save_image

ENDING = "_probabilities.nii.gz"
STEPS = 2**15
"""Probabilities are stored in steps of 2⁻¹⁵: NIfTI has no half precision, and so 0.5 is exact."""
TOLERANCE = 1e-3
"""Rounding by which a tool's probabilities may leave [0, 1]."""
KEY = "lightning_brats"


@dataclass(frozen=True)
class SoftFacts:
    """What the channels of probabilities are, and how they become a mask.

    Args:
        regions: R names, in the channels' order.
        scheme: Label coding of the mask.
        postprocess: What made the mask beside them; `None` where it is not known.
    """

    regions: tuple[str, ...]
    scheme: LabelScheme
    postprocess: Postprocess | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain types."""
        scheme, postprocess = self.scheme, self.postprocess
        codes = {str(value): label for value, label in scheme.codes.items()}
        labels = {"name": scheme.name, "codes": codes, "regions": list(scheme.regions)}
        chosen = None if postprocess is None else postprocess.to_dict()
        return {"regions": list(self.regions), "labels": labels, "postprocess": chosen}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> SoftFacts:
        """Inverse of `to_dict`."""
        labels, chosen = stored["labels"], stored["postprocess"]
        codes = {int(value): int(label) for value, label in labels["codes"].items()}
        scheme = LabelScheme(labels["name"], codes, tuple(labels["regions"]))
        postprocess = None if chosen is None else Postprocess.from_dict(chosen)
        return cls(tuple(stored["regions"]), scheme, postprocess)


@dataclass(frozen=True)
class SoftVolume:
    """A case's probabilities as read.

    Args:
        path: The file.
        probabilities: (R, X, Y, Z) float32.
        affine: (4, 4), voxel → RAS+ mm.
        facts: From its header; `None` in another tool's file.
    """

    path: Path
    probabilities: np.ndarray
    affine: np.ndarray
    facts: SoftFacts | None


def save_probabilities(
    path: Path, geometry: Geometry, probabilities: np.ndarray, facts: SoftFacts
) -> None:
    """Write (R, x, y, z) as (X, Y, Z, R) on the file's grid, 16-bit integers scaled to [0, 1]."""
    whole = geometry.restore(probabilities)
    steps = np.rint(whole * STEPS).astype(np.uint16)
    image = nib.Nifti1Image(np.moveaxis(steps, 0, -1), None)
    image.header.set_slope_inter(1 / STEPS, 0)
    text = json.dumps({KEY: facts.to_dict()})
    image.header.extensions.append(Nifti1Extension("comment", text.encode()))
    save_image(image, path, geometry)


def read_probabilities(path: Path, case: str) -> SoftVolume:
    """Read a file that `save_probabilities` or another tool wrote.

    Raises:
        DataError: The file is unreadable, not 4-D, or its values are no probabilities.
    """
    values, affine = read_nifti(path, case)
    if values.ndim != 4:
        raise DataError(
            f"probabilities have shape {values.shape}, expected (X, Y, Z, regions)",
            case=case,
            file=path,
        )
    values = np.moveaxis(np.asarray(values, np.float32), 3, 0)
    if not (values.min() >= -TOLERANCE and values.max() <= 1 + TOLERANCE):  # NaN neither
        raise DataError(
            f"values from {values.min():.3g} to {values.max():.3g} are no probabilities",
            case=case,
            file=path,
            remedy="save probabilities, after sigmoid or softmax, not logits",
        )
    return SoftVolume(path, values.clip(0, 1), affine, _facts(path))


def _facts(path: Path) -> SoftFacts | None:
    for text in _comments(path):
        try:
            return SoftFacts.from_dict(json.loads(text)[KEY])
        except (ValueError, KeyError, TypeError):
            continue
    return None


def _comments(path: Path) -> Iterator[str]:
    extensions = getattr(nib.load(path).header, "extensions", [])
    for extension in extensions:
        if extension.get_code() == 6:  # a comment
            content = extension.get_content()
            yield content.decode(errors="replace") if isinstance(content, bytes) else content
