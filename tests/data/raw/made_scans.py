"""A made-up head that can be scanned on any grid: its tissue is a formula, so truth is exact."""

from __future__ import annotations

import locale
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from lightning_brats.data.case import Case, ImageRef
from lightning_brats.labels import MODALITIES, SCHEMES

RADII = np.array([38.0, 46.0, 34.0])  # mm of the brain
TUMOUR, SIZE = np.array([14.0, 12.0, 4.0]), 11.0  # mm
CONTRASTS = {  # tissue and tumour → signal
    "t1n": lambda tissue, tumour: 300 + 500 * tissue - 150 * tumour,
    "t1c": lambda tissue, tumour: 250 + 450 * tissue + 600 * tumour,
    "t2w": lambda tissue, tumour: 900 - 600 * tissue + 300 * tumour,
    "t2f": lambda tissue, tumour: 700 - 400 * (tissue - 0.4) ** 2 + 500 * tumour,
}
STILL = np.eye(4)


def motion(angles: tuple[float, float, float], shift: tuple[float, float, float]) -> np.ndarray:
    """(4, 4) of a head that turns (degrees) and moves (mm)."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def grid(spacing: tuple[float, float, float], axes: np.ndarray = STILL) -> np.ndarray:
    """Affine of a field of view of 110 mm, its middle in the origin."""
    affine = axes @ np.diag([*spacing, 1.0])
    middle = (np.array(size(spacing)) - 1) / 2
    affine[:3, 3] = axes[:3, 3] - affine[:3, :3] @ middle
    return affine


def size(spacing: tuple[float, float, float]) -> tuple[int, int, int]:
    x, y, z = (int(110 / s) for s in spacing)
    return x, y, z


def world(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """(X, Y, Z, 3) mm of every voxel."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def head_points() -> np.ndarray:
    """Points all over the brain."""
    points = np.random.default_rng(0).uniform(-1, 1, (400, 3))
    return (points * RADII)[(points**2).sum(1) < 1]


def tissue(points: np.ndarray) -> np.ndarray:
    """Smooth irregular tissue between 0 and 1."""
    rng = np.random.default_rng(42)
    value = np.zeros(points.shape[:-1])
    for centre, width in zip(rng.uniform(-40, 40, (60, 3)), rng.uniform(5, 9, 60), strict=True):
        sign = 1 if rng.random() > 0.5 else -1
        value += sign * np.exp(-((points - centre) ** 2).sum(-1) / (2 * width**2))
    return 1 / (1 + np.exp(-2.5 * value))


def sample(
    modality: str, shape: tuple[int, int, int], affine: np.ndarray, moved: np.ndarray = STILL
) -> np.ndarray:
    """What a scanner measures of a head that was moved: (X, Y, Z) float32, 0 outside the brain."""
    points = world(shape, np.linalg.inv(moved) @ affine)
    inside = ((points / RADII) ** 2).sum(-1) < 1
    tumour = np.sqrt(((points - TUMOUR) ** 2).sum(-1)) < SIZE
    signal = CONTRASTS[modality](tissue(points), tumour)
    return np.where(inside, np.maximum(signal, 1), 0).astype(np.float32)


def labels(
    shape: tuple[int, int, int], affine: np.ndarray, moved: np.ndarray = STILL
) -> np.ndarray:
    """The tumour: 3 in the middle, 2 around it."""
    points = world(shape, np.linalg.inv(moved) @ affine)
    distance = np.sqrt(((points - TUMOUR) ** 2).sum(-1))
    return np.where(distance < 0.6 * SIZE, 3, np.where(distance < SIZE, 2, 0)).astype(np.uint8)


@dataclass(frozen=True)
class Scanned:
    """How one modality was taken."""

    spacing: tuple[float, float, float] = (2.5, 2.5, 2.5)
    axes: np.ndarray = field(default_factory=lambda: np.eye(4))
    moved: np.ndarray = field(default_factory=lambda: np.eye(4))

    @property
    def shape(self) -> tuple[int, int, int]:
        return size(self.spacing)

    @property
    def affine(self) -> np.ndarray:
        return grid(self.spacing, self.axes)


CLINICAL: Mapping[str, Scanned] = {
    "t1n": Scanned((2.5, 2.5, 2.5), moved=motion((4, -3, 5), (2, -3, 1))),
    "t1c": Scanned((2.5, 2.5, 2.5), axes=motion((3, 2, -4), (0, 0, 0)) @ np.diag([-1, -1, 1, 1])),
    "t2w": Scanned((2.0, 2.0, 4.0), axes=np.diag([-1.0, -1.0, 1.0, 1.0])),
    "t2f": Scanned(
        (2.2, 2.2, 5.0), axes=motion((8, 0, 0), (0, 0, 0)), moved=motion((0, 4, 6), (1, 2, -2))
    ),
}
"""Four modalities, four grids, a head that moved twice."""


def write_nifti(
    folder: Path, scanned: Mapping[str, Scanned] = CLINICAL, mask: str | None = "t1c"
) -> Case:
    """A case; its mask is drawn on a modality's grid."""
    folder.mkdir(parents=True, exist_ok=True)
    images = {}
    for modality in MODALITIES:
        how = scanned[modality]
        path = folder / f"{folder.name}_{modality}.nii.gz"
        data = sample(modality, how.shape, how.affine, how.moved)
        nib.save(nib.Nifti1Image(np.rint(data).astype(np.int16), how.affine), path)
        images[modality] = ImageRef(path)
    drawn = None
    if mask is not None:
        how, drawn = scanned[mask], folder / f"{folder.name}_seg.nii.gz"
        nib.save(nib.Nifti1Image(labels(how.shape, how.affine, how.moved), how.affine), drawn)
    return Case(folder.name, folder.name, images, SCHEMES["brats2023"], mask=drawn)


def write_series(
    folder: Path, data: np.ndarray, affine: np.ndarray, description: str, study: str = "1.2.3"
) -> list[Path]:
    """A DICOM series as a scanner exports it, a file a slice."""
    folder.mkdir(parents=True, exist_ok=True)
    flip = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(flip[:3, :3], axis=0)
    axes = flip[:3, :3] / spacing
    series = f"1.2.826.{uuid.uuid4().int >> 70}"
    spoken = locale.setlocale(locale.LC_ALL)  # GDCM changes it
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    paths = []
    for number in range(data.shape[2]):
        image = sitk.GetImageFromArray(np.rint(data[:, :, number].T).astype(np.int16))
        image.SetSpacing(spacing[:2].tolist())
        place = flip[:3, 3] + number * flip[:3, 2]
        tags = {
            "0008|0060": "MR",
            "0008|103e": description,
            "0008|0016": "1.2.840.10008.5.1.4.1.1.4",
            "0008|0018": f"{series}.{number + 1}",
            "0020|000d": study,
            "0020|000e": series,
            "0020|0013": str(number + 1),
            "0020|0032": "\\".join(f"{v:.8g}" for v in place),
            "0020|0037": "\\".join(f"{v:.10g}" for v in axes[:, :2].T.ravel()),
            "0018|0050": f"{spacing[2]:.6g}",
        }
        for key, value in tags.items():
            image.SetMetaData(key, value)
        # Names that do not sort as the slices lie.
        paths.append(folder / f"IM{(number * 7) % data.shape[2]:04}_{number}.dcm")
        writer.SetFileName(str(paths[-1]))
        writer.Execute(image)
    locale.setlocale(locale.LC_ALL, spoken)
    return paths
