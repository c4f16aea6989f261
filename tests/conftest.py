"""Small made-up cases on disk, for tests that need files but no anatomy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from lightning_brats.data.case import Case, ImageRef
from lightning_brats.labels import MODALITIES, SCHEMES, LabelScheme
from lightning_brats.parallel import cores


def pytest_xdist_auto_num_workers() -> int:
    """Processes of the test run: one for each core that this process may use."""
    return min(cores(), 8)


torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture(autouse=True)
def isolated_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Tests never read or fill the user's cache, and never reach W&B's servers."""
    monkeypatch.setenv("LIGHTNING_BRATS_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("LIGHTNING_BRATS_RUN", raising=False)
    yield
    os.environ.pop("LIGHTNING_BRATS_RUN", None)  # a run inside this process sets it for its ranks


def write_case(
    folder: Path,
    case: str = "case_0",
    patient: str | None = None,
    shape: tuple[int, int, int] = (24, 28, 20),
    seed: int = 0,
    affine: np.ndarray = LPS,
    scheme: LabelScheme = SCHEMES["brats2018"],
) -> Case:
    """An ellipsoid brain with a bright nested tumour, four modalities, in its own folder."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    brain = (grid**2).sum(0) < 0.8
    centre = rng.uniform(-0.3, 0.3, 3)[:, None, None, None]
    radius = np.sqrt(((grid - centre) ** 2).sum(0))
    mask = np.zeros(shape, np.uint8)
    for label, limit in ((2, 0.45), (3, 0.3), (1, 0.15)):
        mask[radius < limit] = label
    mask[~brain] = 0
    folder = folder / case
    folder.mkdir(parents=True)
    images = {}
    for number, modality in enumerate(MODALITIES):
        values = 300 + 40 * number + 100.0 * mask + 20 * rng.standard_normal(shape)
        path = folder / f"{case}_{modality}.nii.gz"
        nib.save(nib.Nifti1Image(np.where(brain, values, 0).astype(np.int16), affine), path)
        images[modality] = ImageRef(path)
    path = folder / f"{case}_seg.nii.gz"
    nib.save(nib.Nifti1Image(scheme.encode(mask), affine), path)
    return Case(case, patient or case, images, scheme, mask=path)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """One case."""
    return write_case(tmp_path)
