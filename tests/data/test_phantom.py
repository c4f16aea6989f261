"""The phantom's volumes: one seed one patient, tumour where tumours are, contrasts of a clinic."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from lightning_brats.data.phantom import PhantomCase, Scanner, make_case
from lightning_brats.data.phantom.anatomy import make_anatomy
from lightning_brats.data.phantom.fields import Grid, resample, smooth_field
from lightning_brats.data.phantom.plan import kind_of
from lightning_brats.labels import ET, MODALITIES, NETC, RC, SNFH

RING, LOW_GRADE, SMALL = 4, 3, 8  # patients in the fixed order of kinds
T1N, T1C, T2W, T2F = range(4)


@cache
def phantom(index: int, postop: bool = False, visit: int = 0, **scanner: float) -> PhantomCase:
    return make_case(index, spacing=4.0, postop=postop, visit=visit, scanner=Scanner(**scanner))


def brain(case: PhantomCase) -> np.ndarray:
    return case.image[0] > 0


def level(case: PhantomCase, modality: int, where: np.ndarray) -> float:
    """Mean signal relative to the brain's median."""
    volume = case.image[modality]
    return float(volume[where].mean() / np.median(volume[brain(case)]))


def test_a_case_is_a_function_of_its_arguments() -> None:
    first, again = make_case(1, seed=5, spacing=8.0), make_case(1, seed=5, spacing=8.0)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.mask, again.mask)
    for other in (make_case(2, seed=5, spacing=8.0), make_case(1, seed=6, spacing=8.0)):
        assert not np.array_equal(first.mask, other.mask)
        assert not np.array_equal(brain(first), brain(other))


@pytest.mark.parametrize(
    ("spacing", "postop", "shape"),
    [(4.0, False, (60, 60, 39)), (4.0, True, (46, 55, 46))],
)
def test_the_grid_covers_the_field_of_view(
    spacing: float, postop: bool, shape: tuple[int, ...]
) -> None:
    case = make_case(RING, spacing=spacing, postop=postop)
    assert case.image.shape == (len(MODALITIES), *shape)
    assert case.image.dtype == np.int16
    assert case.mask.shape == shape
    assert case.mask.dtype == np.uint8


def test_full_resolution_has_the_grid_of_brats() -> None:
    grid = Grid((240.0, 240.0, 155.0), 1.0)
    assert grid.shape == (240, 240, 155)
    wanted = [[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(grid.affine, wanted)
    assert Grid((240.0, 240.0, 155.0), 2.0).shape == (120, 120, 78)
    assert Grid((182.0, 218.0, 182.0), 1.0).shape == (182, 218, 182)


def test_affine_and_axes_agree_between_voxel_sizes() -> None:
    """Patient coordinates differ from world coordinates by one shift, whatever the voxels."""
    shifts = []
    for spacing in (1.0, 2.0, 3.7):
        grid = Grid((240.0, 240.0, 155.0), spacing)
        world = grid.affine @ (3, 5, 7, 1)
        patient = [axis.ravel()[i] for axis, i in zip(grid.axes, (3, 5, 7), strict=True)]
        shifts.append(world[:3] - patient)
    np.testing.assert_allclose(shifts[1:], [shifts[0]] * 2, atol=1e-4)


def test_one_patient_is_the_same_at_every_voxel_size() -> None:
    coarse, fine = phantom(RING), make_case(RING, spacing=2.5)
    assert brain(fine).sum() * 2.5**3 == pytest.approx(brain(coarse).sum() * 4.0**3, rel=0.02)
    centres = []
    for case in (coarse, fine):
        voxel = np.argwhere(np.isin(case.mask, (NETC, ET))).mean(0)
        centres.append((case.affine @ (*voxel, 1))[:3])
    np.testing.assert_allclose(centres[0], centres[1], atol=1.5)


@pytest.mark.parametrize("index", [RING, LOW_GRADE, SMALL])
def test_everything_outside_the_brain_is_zero_and_the_tumour_is_inside(index: int) -> None:
    case = phantom(index)
    inside = brain(case)
    np.testing.assert_array_equal(case.image > 0, np.broadcast_to(inside, case.image.shape))
    assert case.image.min() == 0
    assert not case.mask[~inside].any()
    assert ndimage.label(inside)[1] == 1
    assert 1.0 < inside.sum() * 0.064 / 1000 < 2.0  # litres
    assert 5 < (case.mask > 0).sum() * 0.064 < 300  # ml


def test_kinds_decide_the_labels() -> None:
    assert set(np.unique(phantom(RING).mask)) == {0, NETC, SNFH, ET}
    assert set(np.unique(phantom(LOW_GRADE).mask)) == {0, NETC, SNFH}
    assert 0 < (phantom(SMALL).mask == ET).sum() < 0.5 * (phantom(RING).mask == ET).sum()
    assert (phantom(RING).grade, phantom(LOW_GRADE).grade) == ("HGG", "LGG")
    assert sum(kind_of(i).rim == (0, 0) for i in range(12)) == 1


def test_the_rim_lies_around_the_core_and_oedema_around_both() -> None:
    case = phantom(RING)
    tumour_core = np.isin(case.mask, (NETC, ET))
    depth = ndimage.distance_transform_edt(tumour_core)
    assert depth[case.mask == NETC].mean() > depth[case.mask == ET].mean()
    shell = ndimage.binary_dilation(tumour_core) & ~tumour_core & brain(case)
    assert (case.mask[shell] == SNFH).mean() > 0.5
    away = ndimage.distance_transform_edt(~tumour_core)
    assert away[case.mask == SNFH].mean() < 0.5 * away[brain(case) & (case.mask == 0)].mean()


def test_tumours_are_not_balls() -> None:
    case = make_case(RING, spacing=3.0)
    tumour_core = np.isin(case.mask, (NETC, ET))
    points = np.argwhere(tumour_core)
    radius = np.sqrt(((points - points.mean(0)) ** 2).sum(1)).max()
    assert len(points) < 0.6 * 4 / 3 * np.pi * radius**3


def test_oedema_prefers_white_matter() -> None:
    case = phantom(RING)
    tissue = make_anatomy(Grid((240.0, 240.0, 155.0), 4.0), (0, RING, 0))
    assert tissue.white[case.mask == SNFH].mean() > 1.5 * tissue.white[brain(case)].mean()
    assert tissue.csf[case.mask == SNFH].mean() < 0.5 * tissue.csf[brain(case)].mean()


def test_healthy_contrasts() -> None:
    case = phantom(SMALL)
    tissue = make_anatomy(Grid((240.0, 240.0, 155.0), 4.0), (0, SMALL, 0))
    healthy = case.mask == 0
    parts = [healthy & (part > 0.9) for part in (tissue.csf, tissue.grey, tissue.white)]
    csf, grey, white = ([level(case, m, part) for m in range(4)] for part in parts)
    assert white[T1N] > grey[T1N] > csf[T1N]
    assert white[T1C] > grey[T1C] > csf[T1C]
    assert csf[T2W] > grey[T2W] > white[T2W]
    assert grey[T2F] > white[T2F] > csf[T2F]


def test_tumour_contrasts() -> None:
    case = phantom(RING)
    tissue = make_anatomy(Grid((240.0, 240.0, 155.0), 4.0), (0, RING, 0))
    white = (tissue.white > 0.9) & (case.mask == 0)
    necrosis, oedema, rim = (case.mask == label for label in (NETC, SNFH, ET))
    assert level(case, T1C, rim) > 1.3
    assert level(case, T1N, rim) < 0.9 * level(case, T1N, white)
    assert level(case, T1C, necrosis) < 0.85 * level(case, T1C, white)
    assert level(case, T2F, oedema) > 1.2
    assert level(case, T2W, oedema) > 1.1
    assert level(case, T1N, oedema) < 0.95 * level(case, T1N, white)


def test_surgery_leaves_a_cavity_of_fluid_and_a_remnant_beside_it() -> None:
    case = phantom(RING, postop=True)
    cavity = case.mask == RC
    assert level(case, T2W, cavity) > 1.3
    assert level(case, T2F, cavity) < 0.6
    assert level(case, T1C, cavity) < 0.7
    assert (ndimage.binary_dilation(cavity, iterations=2) & (case.mask == ET)).any()
    assert not (phantom(5, postop=True).mask == RC).any()  # a biopsy alone


def test_later_visits_show_the_same_brain_and_more_tumour() -> None:
    first, second = phantom(RING, postop=True), phantom(RING, postop=True, visit=2)
    assert first.patient == second.patient
    assert (brain(first) == brain(second)).mean() > 0.999
    assert np.isin(second.mask, (NETC, ET)).sum() > 1.05 * np.isin(first.mask, (NETC, ET)).sum()
    assert not np.array_equal(first.image, second.image)


def roughness(case: PhantomCase, axis: int = 0) -> float:
    """Mean difference between neighbours inside the brain, relative to the median signal."""
    volume = case.image[T1N].astype(float)
    core = ndimage.binary_erosion(brain(case), iterations=3)
    return float(
        np.abs(np.diff(volume, axis=axis, prepend=0))[core].mean() / np.median(volume[core])
    )


def spread(case: PhantomCase) -> float:
    volume = ndimage.gaussian_filter(case.image[T1N].astype(float), 3)
    core = ndimage.binary_erosion(brain(case), iterations=4)
    return float(volume[core].std() / volume[core].mean())


def test_scanner_changes_the_image_and_never_the_mask() -> None:
    settings = {"noise": 6.0, "bias": 6.0, "contrast": 0.3, "resolution": 20.0, "motion": 6.0}
    normal = phantom(RING)
    shifted = {name: phantom(RING, **{name: value}) for name, value in settings.items()}
    for name, case in shifted.items():
        np.testing.assert_array_equal(case.mask, normal.mask)
        assert not np.array_equal(case.image, normal.image), name
    assert roughness(shifted["noise"]) > 1.5 * roughness(normal)
    assert spread(shifted["bias"]) > 2 * spread(normal)
    assert roughness(shifted["resolution"], axis=2) < 0.5 * roughness(normal, axis=2)
    rim = normal.mask == ET
    assert level(shifted["contrast"], T1C, rim) < 0.85 * level(normal, T1C, rim)
    ghost = shifted["motion"].image[T2W].astype(float) - normal.image[T2W]
    inner = ndimage.binary_erosion(brain(normal), iterations=2)
    assert np.abs(ghost[inner]).mean() > 0.05 * normal.image[T2W][inner].mean()


def test_fields_have_unit_variance_and_do_not_depend_on_the_window() -> None:
    grid = Grid((240.0, 240.0, 155.0), 4.0)
    field = smooth_field(grid, 10.0, np.random.default_rng(3))
    assert field.std() == pytest.approx(1, abs=0.05)
    mask = np.zeros(grid.shape, bool)
    mask[20:30, 10:40, 5:9] = True
    window = grid.around(mask, grid, margin=0.1)
    assert window.shape == (10, 30, 4)
    part = smooth_field(window, 10.0, np.random.default_rng(3))
    np.testing.assert_allclose(part, field[20:30, 10:40, 5:9], atol=1e-4)


def test_resampling_keeps_a_linear_ramp() -> None:
    coarse, fine = (Grid((60.0, 50.0, 40.0), spacing) for spacing in (5.0, 2.0))
    ramps = [2 * g.axes[0] - g.axes[1] + 0.5 * g.axes[2] for g in (coarse, fine)]
    inner = (slice(3, -3),) * 3  # the ends are extended, not extrapolated
    moved = resample(ramps[0], coarse, fine)
    np.testing.assert_allclose(moved[inner], ramps[1][inner], atol=1e-3)
