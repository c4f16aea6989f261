"""DICOM series against the arrays they were written from."""

import locale
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_scans import CLINICAL, grid, motion, sample, write_series

from lightning_brats.data.raw.dicom import find_series, holds_dicom
from lightning_brats.data.raw.slices import read_series
from lightning_brats.errors import DataError

SPACING = (4.0, 5.0, 6.0)
OBLIQUE = motion((20, -10, 30), (7, -8, 9))
SAGITTAL = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])
DOWNWARDS = np.diag([1.0, 1.0, -1.0, 1.0])


@pytest.mark.parametrize(
    "axes", [np.eye(4), OBLIQUE, SAGITTAL, DOWNWARDS], ids=["axial", "oblique", "sagittal", "down"]
)
def test_every_voxel_lies_where_it_was_written(axes: np.ndarray, tmp_path: Path) -> None:
    affine = grid(SPACING, axes)
    data = sample("t1c", (27, 22, 18), affine)
    found, place = read_series(write_series(tmp_path / "a", data, affine, "T1 GD"), "x")
    written = np.argwhere(np.ones(data.shape))
    to_found = np.linalg.inv(place) @ affine
    index = written @ to_found[:3, :3].T + to_found[:3, 3]
    assert np.abs(index - np.rint(index)).max() < 1e-3
    assert np.array_equal(found[tuple(np.rint(index).astype(int).T)], np.rint(data).ravel())


@pytest.fixture
def series(tmp_path: Path) -> list[Path]:
    affine = grid(SPACING)
    return write_series(tmp_path / "s", sample("t1c", (27, 22, 18), affine), affine, "T1")


def test_text_files_are_read_as_before(series: list[Path]) -> None:
    before = locale.setlocale(locale.LC_ALL)
    find_series(series[0].parent)
    read_series(series, "x")
    assert locale.setlocale(locale.LC_ALL) == before


def test_a_missing_slice_is_an_error(series: list[Path]) -> None:
    with pytest.raises(DataError, match=r"6\.00 mm apart, but 12\.00 mm"):
        read_series([*series[:5], *series[6:]], "x")


def test_a_doubled_slice_is_an_error(series: list[Path], tmp_path: Path) -> None:
    copy = shutil.copy(series[4], tmp_path / "copy.dcm")
    with pytest.raises(DataError, match="lie at the same place"):
        read_series([*series, Path(copy)], "x")


def test_slices_of_another_volume_are_an_error(series: list[Path], tmp_path: Path) -> None:
    affine = grid((3.0, 3.0, 6.0))
    others = write_series(tmp_path / "o", sample("t2w", (30, 30, 4), affine), affine, "T2")
    with pytest.raises(
        DataError, match=r"mixed: .* has other voxels or another direction"
    ) as error:
        read_series([*series, others[0]], "case7")
    assert "Case case7" in str(error.value)
    assert "dcm2niix" in str(error.value)


def test_a_single_slice_is_an_error(series: list[Path]) -> None:
    with pytest.raises(DataError, match="one slice only"):
        read_series(series[:1], "x")


def test_a_damaged_file_is_named(series: list[Path]) -> None:
    series[3].write_bytes(b"DICM")
    with pytest.raises(DataError, match="unreadable DICOM") as error:
        read_series(series, "x")
    assert series[3].name in str(error.value)


def test_series_are_found_with_their_descriptions(tmp_path: Path) -> None:
    for number, name in enumerate(("T1 GD", "FLAIR")):
        how = CLINICAL["t2f"]
        data = sample("t2f", how.shape, how.affine)[:, :, 8:13]
        write_series(tmp_path / f"study/{number}", data, how.affine, name)
    (tmp_path / "study" / "report.txt").write_text("no scan")
    found = {series.name: len(series.files) for series in find_series(tmp_path)}
    assert found == {"T1 GD": 5, "FLAIR": 5}
    assert holds_dicom(tmp_path)


def test_two_series_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    affine = grid(SPACING)
    for name in ("T1", "T2"):
        paths = write_series(tmp_path / name, sample("t1n", (27, 22, 5), affine), affine, name)
        for path in paths:
            path.rename(tmp_path / f"{name}_{path.name}")
        (tmp_path / name).rmdir()
    assert sorted(series.name for series in find_series(tmp_path)) == ["T1", "T2"]


def test_a_folder_without_dicom(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    assert not holds_dicom(tmp_path)
    with pytest.raises(DataError, match="no DICOM series"):
        find_series(tmp_path)
