"""Brain extraction on made-up heads; the phantom's brain is the truth."""

import numpy as np
import pytest
from scipy import ndimage

from lightning_brats.data.phantom.patient import make_case
from lightning_brats.data.raw.brain import extract_brain
from lightning_brats.data.raw.scan import Scan

PAD = 24  # mm around the brain


def head(index: int, spacing: float = 2.0) -> tuple[Scan, np.ndarray]:
    """A phantom's t1c with CSF, skull, marrow, scalp and a neck around it, and its brain.

    Bone is dark, marrow and fat are as bright as brain or brighter, as in a T1-weighted scan.
    """
    phantom = make_case(index, 0, spacing)
    width = round(PAD / spacing)
    image = np.pad(phantom.image[1].astype(np.float32), width)
    brain = image != 0
    rng = np.random.default_rng(index)
    wobble = ndimage.gaussian_filter(rng.standard_normal(brain.shape), 12 / spacing)
    wobble /= wobble.std()
    distance = spacing * ndimage.distance_transform_edt(~brain)
    bright = float(np.median(image[brain]))
    middle = ndimage.center_of_mass(brain)
    x, y, z = (
        (index - centre) * spacing
        for index, centre in zip(np.indices(brain.shape), middle, strict=True)
    )
    neck = ((x / 50) ** 2 + ((y - 10) / 50) ** 2 < 1) & (z < -55) & (distance > 14)
    out = np.where(neck, 0.7 * bright, 0.0)
    skull, scalp = 8 + wobble, 14 + 1.5 * wobble
    for inner, outer, value in (
        (0, 2, 0.25),
        (2, skull, 0.06),
        (4, skull - 2, 0.7),
        (skull, scalp, 1.5),
    ):
        out = np.where((distance > inner) & (distance <= outer), value * bright, out)
    out = np.where(brain, image, out)
    out = ndimage.gaussian_filter(out, 0.6 / spacing)
    out = np.hypot(out, 0.03 * bright * rng.standard_normal(out.shape)).astype(np.float32)
    affine = phantom.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ np.full(3, width)
    return Scan(out, affine), brain


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1])
def test_the_brain_is_found_in_a_head(index: int) -> None:
    scan, brain = head(index)
    found = extract_brain(scan)
    assert dice(found.mask, brain) > 0.96
    assert not found.warnings


@pytest.mark.slow
def test_a_brain_without_a_skull_stays_what_it_is() -> None:
    scan, brain = head(0)
    found = extract_brain(Scan(np.where(brain, scan.data, 0), scan.affine))
    assert dice(found.mask, brain) > 0.96


def test_what_is_no_head_is_flagged() -> None:
    noise = np.random.default_rng(0).normal(100, 20, (24, 24, 24)).astype(np.float32)
    found = extract_brain(Scan(noise, np.diag([2.0, 2.0, 2.0, 1.0])))
    assert any("the atlas does not fit" in text or "ml" in text for text in found.warnings)
