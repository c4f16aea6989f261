"""Bias field and noise against known answers."""

import numpy as np
import pytest
from made_scans import RADII, grid, size, tissue, world

from lightning_brats.data.raw.intensity import correct_bias, denoise, noise
from lightning_brats.data.raw.scan import Scan
from lightning_brats.errors import ConfigError, DataError

SPACING = (3.0, 3.0, 3.0)
AFFINE = grid(SPACING)
POINTS = world(size(SPACING), AFFINE)
BRAIN = ((POINTS / RADII) ** 2).sum(-1) < 1


def test_a_known_bias_field_is_recovered() -> None:
    true = np.where(BRAIN, 300 + 400 * (tissue(POINTS) > 0.5), 0).astype(np.float32)
    x, y, z = np.moveaxis(POINTS / 45, -1, 0)
    field = np.exp(0.3 * x + 0.2 * y * z - 0.2 * z**2).astype(np.float32)
    found = correct_bias(Scan(true * field, AFFINE), BRAIN, "x")
    estimated = np.log((true * field)[BRAIN] / found[BRAIN])
    assert np.corrcoef(estimated, np.log(field[BRAIN]))[0, 1] > 0.97
    for level in (300, 700):  # each tissue is even again
        inside = BRAIN & (true == level)
        before = (true * field)[inside].std() / (true * field)[inside].mean()
        after = found[inside].std() / found[inside].mean()
        assert after < 0.25 * before


def test_a_flat_image_stays_flat_and_keeps_its_mean() -> None:
    flat = np.where(BRAIN, 500, 0).astype(np.float32)
    assert np.array_equal(correct_bias(Scan(flat, AFFINE), BRAIN, "x"), flat)
    noisy = flat + np.where(BRAIN, np.random.default_rng(0).normal(0, 10, flat.shape), 0)
    noisy = noisy.astype(np.float32)
    found = correct_bias(Scan(noisy, AFFINE), BRAIN, "x")
    field = noisy[BRAIN] / found[BRAIN]
    assert field.std() < 0.01
    assert found[BRAIN].mean() == pytest.approx(noisy[BRAIN].mean(), rel=1e-4)


def test_intensities_below_zero_have_no_bias_field() -> None:
    scan = Scan(np.where(POINTS[..., 0] > 0, 1, -1).astype(np.float32), AFFINE)
    with pytest.raises(DataError, match=r"50 % of the brain are 0 or below") as error:
        correct_bias(scan, np.ones(scan.data.shape, bool), "case9")
    assert "Case case9" in str(error.value)
    assert "raw.bias=null" in str(error.value)


@pytest.fixture
def edge() -> tuple[np.ndarray, np.ndarray]:
    """Two halves of 100 and 300 with noise of 10; a border of exact zeros."""
    true = np.full((32, 32, 32), 100.0)
    true[16:] = 300
    noisy = true + np.random.default_rng(0).normal(0, 10, true.shape)
    noisy[:, :, :2] = 0
    return true, noisy.astype(np.float32)


@pytest.mark.parametrize(
    ("how", "strength", "left", "kept"),
    [("gaussian", 1.0, 0.4, 0.6), ("median", 1.0, 0.5, 0.95), ("nlm", 1.0, 0.5, 0.95)],
)
def test_noise_goes_and_edges_stay(edge, how: str, strength: float, left: float, kept) -> None:
    """Share of the noise that is left in the flats, share of the step kept between neighbours."""
    _, noisy = edge
    found = denoise(Scan(noisy, np.eye(4)), how, strength).data
    inside = (slice(3, 12), slice(3, -3), slice(5, -3))
    assert found[inside].std() < left * noisy[inside].std()
    assert found[inside].mean() == pytest.approx(100, abs=1)
    step = found[17, 4:-4, 6:-4].mean() - found[14, 4:-4, 6:-4].mean()
    assert step > kept * 200
    assert not found[:, :, :2].any()  # what is outside stays outside


def test_a_gaussian_is_as_wide_in_mm_on_every_axis() -> None:
    point = np.full((21, 21, 21), 1e-6, np.float32)
    point[10, 10, 10] = 1000
    found = denoise(Scan(point, np.diag([1.0, 2.0, 0.5, 1.0])), "gaussian", 2.0).data
    for axis, spacing in enumerate((1.0, 2.0, 0.5)):
        line = found.sum(tuple(a for a in range(3) if a != axis))
        index = (np.arange(21) - 10) * spacing
        if spacing > 0.5:  # the third axis is cut off by the field of view
            assert np.sqrt((line * index**2).sum() / line.sum()) == pytest.approx(2, rel=0.05)


def test_the_noise_is_measured(edge) -> None:
    assert noise(edge[1]) == pytest.approx(10, rel=0.1)


def test_an_unknown_denoiser_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is no denoising magic"):
        denoise(Scan(np.ones((4, 4, 4), np.float32), np.eye(4)), "magic", 1.0)
