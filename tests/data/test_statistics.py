"""Measures of a case whose voxels are few enough to count by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lightning_brats.data.case import Case, ImageRef, Native, Volume
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.statistics import BINS, case_statistics
from lightning_brats.labels import MODALITIES, SCHEMES

SHAPE = (12, 10, 14)


def make(
    name: str = "BraTS-GLI-00042-007", modalities: tuple[str, ...] = MODALITIES
) -> tuple[Case, Volume]:
    """A brain of 8·6·10 voxels; a tumour of 4·2·3 with a core, two of them in a second part."""
    rng = np.random.default_rng(0)
    brain = np.zeros(SHAPE, bool)
    brain[2:10, 2:8, 2:12] = True
    image = rng.uniform(100, 200, (len(modalities), *SHAPE)).astype(np.float32) * brain
    mask = np.zeros(SHAPE, np.uint8)
    mask[3:7, 3:5, 4:7] = 2
    mask[3:5, 3, 4] = 1
    mask[5, 3, 4:7] = 3
    mask[8, 6, 9:11] = 4
    mask[1, 2, 3:5] = 2  # outside the brain
    images = {modality: ImageRef(Path("x")) for modality in modalities}
    affine = np.diag([-2.0, -1.0, 3.0, 1.0])
    return Case(name, "p", images, SCHEMES["brats2024"]), Volume(image, affine, mask, brain)


def measure(case: Case, volume: Volume) -> dict:
    return case_statistics(case, volume, Preprocess()(case, volume))


def test_volumes_by_hand() -> None:
    found = measure(*make())
    assert (found["shape"], found["spacing"]) == ([12, 10, 14], [2.0, 1.0, 3.0])
    assert found["orientation"] == "LPS"
    assert found["time_point"] == 7
    assert found["coding"] == {"1": "NETC", "2": "SNFH", "3": "ET", "4": "RC"}
    assert found["regions"] == ["WT", "TC", "ET", "RC"]
    assert found["brain_ml"] == pytest.approx(480 * 0.006)
    tumour = found["tumour"]
    # 24 voxels, of which 2 are core and 3 enhance, and 2 outside the brain; 6 mm³ each.
    assert tumour["tissue_ml"] == pytest.approx(
        {"NETC": 0.012, "SNFH": 0.126, "ET": 0.018, "RC": 0.012}
    )
    assert tumour["region_ml"] == pytest.approx({"WT": 0.156, "TC": 0.03, "ET": 0.018, "RC": 0.012})
    assert tumour["outside_ml"] == pytest.approx(0.012)
    assert tumour["lesions"] == 2


def test_plain_and_small() -> None:
    found = measure(*make())
    assert json.loads(json.dumps(found)) == found
    assert len(json.dumps(found)) < 3072
    assert set(found["fingerprint"]) == set(found["intensities"]) == set(MODALITIES)


def test_the_slice_is_that_of_the_prepared_case() -> None:
    case, volume = make()
    prepared = Preprocess()(case, volume)
    assert prepared.mask is not None
    index = case_statistics(case, volume, prepared)["tumour"]["slice"]
    # z 4 to 6 hold 8 voxels each, 4 one more outside the brain, that the crop to it takes away.
    assert index == 4 - 2
    areas = np.isin(prepared.mask, (1, 2, 3)).sum((0, 1))
    assert areas[index] == areas.max()


def test_intensities_by_hand() -> None:
    case, volume = make(modalities=("t1c",))
    inside = np.linspace(-20, 80, 480, dtype=np.float32)  # the brain is small: every voxel counts
    volume.image[0][volume.brain] = np.random.default_rng(1).permutation(inside)
    found = measure(case, volume)["intensities"]["t1c"]
    expected = [-20 + q for q in (0.1, 1, 25, 50, 75, 99, 99.9)]
    assert found["quantiles"] == pytest.approx(expected, abs=0.01)
    assert found["negative"] == pytest.approx(0.2, abs=0.002)
    assert len(found["histogram"]) == BINS
    # Two of 480 voxels lie outside the outer quantiles; the others are evenly spread.
    assert sum(found["histogram"]) == pytest.approx(1000 * 478 / 480, abs=BINS / 2)
    assert set(found["histogram"]) <= set(range(16, 27))  # 9 to 12 voxels a bin


def test_brightness_of_a_tissue() -> None:
    case, volume = make(modalities=("t1c",))
    volume.image[0][volume.brain] = np.random.default_rng(2).normal(100, 10, 480)
    volume.image[0][volume.mask == 3] = 150
    contrast = measure(case, volume)["tumour"]["contrast"]["t1c"]
    assert contrast["ET"] == pytest.approx(5, abs=0.7)  # (150 - 100) / 10
    assert abs(contrast["SNFH"]) < 1


def test_order_of_axes_in_memory_does_not_matter() -> None:
    case, volume = make()
    fortran = Volume(
        np.stack([np.asfortranarray(channel) for channel in volume.image]).transpose(0, 1, 2, 3),
        volume.affine,
        np.asfortranarray(volume.mask),
        np.asfortranarray(volume.brain),
    )
    turned = Volume(
        np.ascontiguousarray(volume.image.transpose(0, 3, 2, 1)).transpose(0, 3, 2, 1),
        volume.affine,
        volume.mask,
        volume.brain,
    )
    assert turned.image.strides != volume.image.strides
    expected = measure(case, volume)
    for other in (fortran, turned):
        found = measure(case, other)
        assert found["tumour"] == expected["tumour"]
        assert found["fingerprint"] == expected["fingerprint"]


def test_unlabelled_empty_and_untimed_cases() -> None:
    case, volume = make("case_1")
    found = measure(case, Volume(volume.image, volume.affine, None, volume.brain))
    assert found["tumour"] is None
    assert found["time_point"] is None
    empty = np.zeros(SHAPE, np.uint8)
    tumour = measure(case, Volume(volume.image, volume.affine, empty, volume.brain))["tumour"]
    assert (tumour["lesions"], tumour["slice"], tumour["contrast"]) == (0, None, {})
    assert set(tumour["region_ml"].values()) == {0.0}
    cavity = np.where(volume.mask == 4, 4, 0).astype(np.uint8)
    tumour = measure(case, Volume(volume.image, volume.affine, cavity, volume.brain))["tumour"]
    assert (tumour["region_ml"]["WT"], tumour["slice"]) == (0.0, None)
    assert tumour["region_ml"]["RC"] == pytest.approx(0.012)


def test_a_resampled_case_is_described_as_its_files_are() -> None:
    case, volume = make()
    native = Native((60, 50, 20), np.diag([0.5, 0.5, 5.0, 1.0]), np.eye(4))
    ras = np.diag([2.0, 1.0, 3.0, 1.0])
    resampled = Volume(volume.image, ras, volume.mask, volume.brain, (), native)
    found = case_statistics(case, resampled, Preprocess()(case, volume))
    assert (found["shape"], found["spacing"]) == ([60, 50, 20], [0.5, 0.5, 5.0])
    assert found["orientation"] == "RAS"
    assert found["brain_ml"] == pytest.approx(480 * 0.006)
