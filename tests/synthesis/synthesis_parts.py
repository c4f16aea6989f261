"""Small tumours and brains for the tests of synthesis."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lightning_brats.data.synthetic import RECORD
from lightning_brats.labels import ET, NETC, RC, SCHEMES, SNFH, LabelScheme

ISOTROPIC = (1.0, 1.0, 1.0)


def ball(radius: float, size: int = 41) -> np.ndarray:
    """Whether a voxel is in a ball about the middle."""
    grid = np.indices((size,) * 3) - size // 2
    return (grid**2).sum(0) < radius**2


def tumour() -> np.ndarray:
    """Oedema around an enhancing shell around necrosis, and a cavity that touches it."""
    labels = np.zeros((41, 41, 41), np.uint8)
    for label, radius in ((SNFH, 10), (ET, 6), (NETC, 3)):
        labels[ball(radius)] = label
    labels[31:35, 18:22, 18:22] = RC
    return labels


def write_record(
    root: Path,
    cases: dict[str, tuple[str, str]],
    trained_on: list[str],
    scheme: LabelScheme = SCHEMES["brats2018"],
    **facts: Any,
) -> Path:
    """`synthetic.json` of cases: identifier → patients of donor and host."""
    content = {
        "synthetic": True,
        "labels": {
            "name": scheme.name,
            "codes": {str(k): v for k, v in scheme.codes.items()},
            "regions": list(scheme.regions),
        },
        "trained_on": trained_on,
        "cases": {
            name: {"patient": host, "donor_patient": donor, "host_patient": host, **facts}
            for name, (donor, host) in cases.items()
        },
    }
    path = root / RECORD
    path.write_text(json.dumps(content))
    return path
