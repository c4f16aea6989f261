"""Disk need, from headers alone."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import write_case

from lightning_brats.data.cache import Cache
from lightning_brats.data.case import Case, ImageRef
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.space import counted, estimated_bytes, readable
from lightning_brats.labels import SCHEMES


def made(path: Path, shape: tuple[int, ...], spacing: float) -> Case:
    nib.save(nib.Nifti1Image(np.zeros(shape, np.uint8), np.diag([spacing] * 3 + [1.0])), path)
    images = {name: ImageRef(path) for name in ("t1c", "t2f")}
    return Case("x", "x", images, SCHEMES["brats2023"])


def test_a_large_field_of_view_is_cut_to_the_brain(tmp_path: Path) -> None:
    case = made(tmp_path / "a.nii.gz", (300, 300, 300), 1.0)
    voxels = 4_500_000  # a box of 150 × 190 × 160 mm, rounded down
    per_voxel = 2 * 2 + 1  # two modalities of 2 bytes, a mask of 1
    coordinates = 4 * 20_000 * 6
    assert estimated_bytes([case]) == voxels * per_voxel + coordinates
    assert estimated_bytes([case] * 100) == 100 * (voxels * per_voxel + coordinates)
    assert estimated_bytes([case], spacing=2.0) == voxels // 8 * per_voxel + coordinates


def test_a_small_volume_is_never_larger_than_itself(tmp_path: Path) -> None:
    case = made(tmp_path / "a.nii.gz", (10, 20, 30), 1.0)
    assert estimated_bytes([case]) == 6000 * 5 + 6000 * 6


def test_it_is_not_less_than_what_is_written(tmp_path: Path) -> None:
    cases = [write_case(tmp_path, f"c{i}", seed=i, shape=(48, 50, 44)) for i in range(3)]
    found = Cache(tmp_path / "cache", Preprocess()).prepare(cases)
    arrays = sum(f.stat().st_size for e in found.entries for f in e.folder.glob("*.npy"))
    assert arrays <= estimated_bytes(cases) < 4 * arrays


def test_an_unreadable_header_is_left_to_preparing(tmp_path: Path) -> None:
    good = made(tmp_path / "a.nii.gz", (10, 20, 30), 1.0)
    (tmp_path / "bad.nii.gz").write_bytes(b"no")
    bad = Case("y", "y", {"t1c": ImageRef(tmp_path / "bad.nii.gz")}, good.scheme)
    assert estimated_bytes([good, bad]) == 2 * estimated_bytes([good])
    assert estimated_bytes([bad]) == 0


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 kB"), (4_100_000, "4 MB"), (1_234_000_000, "1.2 GB"), (3.2e12, "3.2 TB")],
)
def test_sizes_for_people(count: float, text: str) -> None:
    assert readable(count) == text


def test_numbers_for_people() -> None:
    assert (counted(1), counted(2)) == ("1 case", "2 cases")
