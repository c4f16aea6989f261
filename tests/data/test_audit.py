"""Warnings and errors about volumes and folders, on arrays small enough to count by hand."""

from __future__ import annotations

import errno
import tempfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from lightning_brats.data import audit
from lightning_brats.data.audit import check_space, check_volume, check_writable
from lightning_brats.data.case import Case, ImageRef, Volume
from lightning_brats.errors import DataError
from lightning_brats.labels import SCHEMES

SHAPE = (10, 10, 10)


def make(spacing: float = 1.0, **changes) -> tuple[Case, Volume]:
    """Two modalities; the brain is the 8³ cube inside, the tumour (all labels) its 6³ core."""
    images = {m: ImageRef(Path(f"c_{m}.nii.gz")) for m in ("t1c", "t2f")}
    case = Case("c", "c", images, SCHEMES["brats2023"])
    brain = np.zeros(SHAPE, bool)
    brain[1:9, 1:9, 1:9] = True
    image = np.random.default_rng(0).uniform(1, 2, (2, *SHAPE)).astype(np.float32) * brain
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:8, 2:8, 2:8] = 2
    mask[4, 4, 4], mask[5, 5, 5] = 1, 3
    arrays = {"image": image, "mask": mask, "brain": brain} | changes
    return case, Volume(affine=np.diag([spacing] * 3 + [1.0]), **arrays)


def test_a_good_case_has_no_warning() -> None:
    assert check_volume(*make()) == []
    assert check_volume(*make(mask=None)) == []


def test_tumours_that_are_absent_small_or_without_enhancement() -> None:
    mask = np.zeros(SHAPE, np.uint8)
    assert check_volume(*make(mask=mask)) == ["the mask has no tumour"]
    mask[5, 5, 5] = 4  # a cavity is no tumour
    assert check_volume(*make(mask=mask)) == ["the mask has no tumour"]
    mask[4, 4, 2:6] = 3
    assert check_volume(*make(mask=mask)) == ["the tumour is tiny: 0.004 ml"]
    assert check_volume(*make(mask=mask, spacing=3)) == []  # 4 × 27 mm³ = 0.108 ml
    mask[mask == 3] = 1
    assert check_volume(*make(mask=mask, spacing=3)) == ["no enhancing tumour"]


def test_tumour_outside_the_brain() -> None:
    mask = np.zeros(SHAPE, np.uint8)
    mask[0] = 3
    assert "outside the brain" in check_volume(*make(mask=mask))[0]
    mask[1, 5, 5] = 3
    assert check_volume(*make(mask=mask)) == []


def test_negative_intensities_are_said_not_refused() -> None:
    case, volume = make()
    volume.image[1, 1:9, 1:9, 1] *= -1  # one of eight layers
    assert check_volume(case, volume) == ["negative intensities in the brain: t2f (12.5 %)"]


def test_what_was_doubtful_on_reading_comes_first() -> None:
    case, volume = make(mask=np.zeros(SHAPE, np.uint8), warnings=("t1c may be misregistered",))
    assert check_volume(case, volume) == ["t1c may be misregistered", "the mask has no tumour"]


def test_every_warning_has_a_kind() -> None:
    case, volume = make(brain=np.ones(SHAPE, bool))
    volume.image[1, 1:9, 1:9, 1] *= -1
    kinds = [audit.warning_kind(warning) for warning in check_volume(case, volume)]
    assert kinds == ["intensity", "brain"]
    outside = np.zeros(SHAPE, np.uint8)
    outside[0] = 3
    tiny = np.zeros(SHAPE, np.uint8)
    tiny[4, 4, 4] = 1
    for mask in (outside, tiny, np.zeros(SHAPE, np.uint8)):
        warnings = check_volume(*make(mask=mask))
        assert {audit.warning_kind(warning) for warning in warnings} == {"tumour"}
    assert audit.warning_kind("the registration of t2f is doubtful") == "registration"
    assert audit.warning_kind("something else") == "other"


def test_volume_that_is_not_skull_stripped() -> None:
    case, volume = make(brain=np.ones(SHAPE, bool))
    (warning,) = check_volume(case, volume)
    assert warning.startswith("100 % of the voxels are non-zero")
    given = Case("c", "c", case.images, case.scheme, brain=Path("brain.nii.gz"))
    assert check_volume(given, volume) == []


def test_constant_modality_is_an_error() -> None:
    case, volume = make()
    volume.image[1] = 7.0 * volume.brain
    with pytest.raises(DataError, match="Case c: t2f is 7 in the whole brain") as caught:
        check_volume(case, volume)
    assert caught.value.file == Path("c_t2f.nii.gz")


def test_empty_brain_is_an_error() -> None:
    case, volume = make(brain=np.zeros(SHAPE, bool))
    with pytest.raises(DataError, match="the brain is empty: every voxel is zero"):
        check_volume(case, volume)
    given = Case("c", "c", case.images, case.scheme, brain=Path("brain.nii.gz"))
    with pytest.raises(DataError, match="so is the brain mask") as caught:
        check_volume(given, volume)
    assert caught.value.file == Path("brain.nii.gz")


def test_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "new" / "folder"
    check_writable(folder)
    assert list(folder.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="no write permission") as caught:
        check_writable(tmp_path / "file" / "below")
    assert caught.value.file == tmp_path / "file" / "below"
    assert caught.value.remedy

    def deny(**_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", deny)
    with pytest.raises(DataError, match=r"no write permission \(Permission denied\)"):
        check_writable(folder)


def test_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    asked: list[Path] = []

    def report(path: Path) -> usage:
        asked.append(path)
        return usage(10e9, 7e9, 3e9)

    monkeypatch.setattr(audit.shutil, "disk_usage", report)
    check_space(tmp_path / "to" / "be" / "made", 3_000_000_000)
    assert asked == [tmp_path]
    with pytest.raises(DataError, match=r"3.0 GB free, 3.1 GB are needed"):
        check_space(tmp_path, 3_100_000_000)
