"""Symmetry, features, clusters and priors, on volumes small enough to work out by hand."""

import math

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import f1_score

from lightning_brats.baselines.features import feature_names, features
from lightning_brats.baselines.fuzzy import FuzzyCMeans, centres, memberships
from lightning_brats.baselines.priors import Priors
from lightning_brats.baselines.scan import Scan, drawn
from lightning_brats.baselines.svm import LinearMachine
from lightning_brats.baselines.symmetry import asymmetry, excess, midline, mirrored
from lightning_brats.baselines.tissue import (
    RING,
    RINGS,
    best,
    closed,
    compose,
    dice,
    main_parts,
    ring_radius,
)
from lightning_brats.baselines.voxels import VoxelClassifier
from lightning_brats.errors import ConfigError, DataError


def make_scan(labels: np.ndarray | None = None, shift: int = 0, seed: int = 0) -> Scan:
    """An ellipsoid of symmetric noise, `shift` voxels off the middle; no tumour is drawn."""
    rng = np.random.default_rng(seed)
    half = rng.normal(2, 1, (12, 20, 16)).astype(np.float32)
    volume = np.concatenate([half, half[::-1]])
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in volume.shape), indexing="ij"))
    volume = np.where((grid**2).sum(0) < 0.9, volume, 0)
    volume = np.roll(np.pad(volume, ((4, 4), (0, 0), (0, 0))), shift, axis=0)
    return Scan({"t1c": volume, "t2f": 3 * volume}, (1.0, 1.0, 1.0), labels)


def ball(shape: tuple[int, ...], centre: tuple[int, ...], radius: float) -> np.ndarray:
    grid = np.indices(shape)
    return ((grid - np.array(centre)[:, None, None, None]) ** 2).sum(0) <= radius**2


@pytest.mark.parametrize("shift", [0, 1, -1])
def test_the_midline_is_found_where_the_brain_is_mirrored(shift: int) -> None:
    scan = make_scan(shift=shift)
    assert midline(scan) == 31 + 2 * shift  # of 32 voxels, 0 lies opposite 31
    assert np.allclose(asymmetry(scan, scan.channels["t1c"], midline(scan)), 0, atol=1e-4)


def test_mirroring_about_a_line() -> None:
    volume = np.array([1, 2, 3, 4])[:, None, None]
    assert mirrored(volume, 3)[:, 0, 0].tolist() == [4, 3, 2, 1]
    assert mirrored(volume, 1)[:, 0, 0].tolist() == [2, 1, 0, 0]
    assert mirrored(volume, 4)[:, 0, 0].tolist() == [0, 4, 3, 2]


def test_standard_values_do_not_depend_on_the_normalisation() -> None:
    scan = make_scan()
    assert np.allclose(scan.standard("t1c"), scan.standard("t2f"), atol=1e-4)
    inside = scan.standard("t1c")[scan.brain]
    assert np.median(inside) == pytest.approx(0, abs=1e-6)
    assert np.median(np.abs(inside)) == pytest.approx(1 / 1.4826, rel=1e-5)


def test_smoothing_keeps_a_constant_brain_constant() -> None:
    scan = make_scan()
    flat = np.where(scan.brain, 5.0, 0.0).astype(np.float32)
    smooth = scan.smooth(flat, 2.0)
    assert np.allclose(smooth[scan.brain], 5)
    assert (smooth[~scan.brain] == 0).all()


def test_a_ring_makes_core_of_what_it_surrounds() -> None:
    shape, centre = (40, 40, 40), (20, 20, 20)
    whole = ball(shape, centre, 14)
    ring = ball(shape, centre, 8) & ~ball(shape, centre, 5)
    labels = compose(whole, ring, (1, 1, 1))
    assert np.array_equal(labels == 3, ring)
    assert np.array_equal(labels == 1, ball(shape, centre, 5))
    assert np.array_equal(labels == 2, whole & ~ball(shape, centre, 8))


def test_main_parts_drop_specks_and_fill_holes() -> None:
    shape = (40, 40, 40)
    tumour = ball(shape, (15, 20, 20), 9)
    hollow = tumour & ~ball(shape, (15, 20, 20), 2)
    uneven = np.ones(shape, np.float32)
    kept = main_parts(hollow | ball(shape, (33, 20, 20), 3), uneven, (1, 1, 1))
    assert kept[15, 20, 20]
    assert not kept[30:].any()
    assert dice(tumour, kept) > 0.98
    assert not main_parts(np.zeros(shape, bool), uneven, (1, 1, 1)).any()


def test_where_nothing_speaks_for_tumour_the_least_unlikely_part_is_kept() -> None:
    shape = (40, 40, 40)
    midline, other = ball(shape, (20, 20, 20), 6), ball(shape, (20, 33, 33), 4)
    uneven = np.where(other, -2.0, -0.01).astype(np.float32)
    kept = main_parts(midline | other, uneven, (1, 1, 1))
    assert kept[20, 20, 20]
    assert not kept[20, 33, 33]


def test_what_is_bright_on_both_sides_is_no_tumour() -> None:
    shape = (40, 40, 40)
    tumour, ventricle = ball(shape, (10, 20, 20), 5), ball(shape, (28, 20, 20), 9)
    uneven = np.where(tumour, 1.0, 0.01).astype(np.float32)
    kept = main_parts(tumour | ventricle, uneven, (1, 1, 1))
    assert kept[10, 20, 20]
    assert not kept[28, 20, 20]


def test_closing_by_distance_is_closing_by_a_ball() -> None:
    rng = np.random.default_rng(0)
    mask = ndimage.gaussian_filter(rng.random((30, 30, 30)), 2) > 0.53
    mask[[0, -1]] = False
    found = closed(mask, 3.0, (1, 1, 1))
    grid = np.mgrid[-3:4, -3:4, -3:4]
    padded = ndimage.binary_closing(np.pad(mask, 4), (grid**2).sum(0) <= 9)[4:-4, 4:-4, 4:-4]
    assert np.array_equal(found, ndimage.binary_fill_holes(padded))
    assert found.sum() > mask.sum()


def test_dice_is_scikit_learn_s_f1() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 500)) < 0.3
    assert dice(first, second) == pytest.approx(f1_score(first, second))
    assert dice(np.zeros(3, bool), np.zeros(3, bool)) == 1


def test_the_best_choice_is_that_with_the_highest_mean() -> None:
    cases = [{1: 0.2, 2: 0.6, 3: 0.6}, {1: 0.9, 2: 0.6, 3: 0.6}]
    assert best((1, 2, 3), (case.__getitem__ for case in cases)) == (2, pytest.approx(0.6))


def test_priors_by_hand() -> None:
    shape = (32, 20, 16)
    labels = [np.zeros(shape, np.uint8) for _ in range(2)]
    labels[0][8:12, 8:12, 6:10] = 2  # 64 mm³
    labels[1][4:20, 4:20, 2:10] = 2  # 2048 mm³
    scans = [make_scan(mask) for mask in labels]
    priors = Priors.of(scans, [0, 1])
    logs = [math.log(0.064), math.log(2.048)]
    assert priors.log_volume == (pytest.approx(np.mean(logs)), pytest.approx(np.std(logs)))
    assert priors.excess == (pytest.approx(0, abs=1e-4), 0.5)  # both halves are alike
    assert math.isinf(priors.enhancement)
    assert priors.to_dict()["enhancement"] is None
    # Of sizes one standard deviation off; of the excess of 1 two, for which 0.5 is the least.
    found = priors.plausibility(labels[0] > 0, scans[0], np.ones(shape))
    assert found == pytest.approx(-0.5 - 2.0, abs=1e-3)
    assert priors.plausibility(np.zeros(shape, bool), scans[0], np.ones(shape)) == -math.inf


def test_the_excess_is_where_one_side_is_brighter() -> None:
    scan = make_scan()
    bright = ball(scan.brain.shape, (9, 10, 8), 4) & scan.brain
    flair = scan.channels["t2f"] + 30 * bright.astype(np.float32)
    uneven = excess(Scan({"t1c": scan.channels["t1c"], "t2f": flair}, scan.spacing))
    assert uneven[bright].mean() > 1
    assert uneven[mirrored(bright, 31)].mean() == pytest.approx(-uneven[bright].mean(), rel=1e-3)


def test_priors_need_a_tumour() -> None:
    with pytest.raises(DataError, match="none of the training cases has a tumour"):
        Priors.of([make_scan(np.zeros((32, 20, 16), np.uint8))], [0])


def test_memberships_by_bezdek_s_formula() -> None:
    values, found = np.array([[1.0], [0.0]]), np.array([[0.0], [3.0]])
    # u = 1 / Σ (d_i / d_j)^(2 / (m − 1)); with m = 2, distances 1 and 2: 4/5 and 1/5.
    members = memberships(values, found, 2.0)
    assert np.allclose(members[0], [0.8, 0.2])
    assert np.allclose(members[1], [1.0, 0.0])
    assert np.allclose(memberships(values, found, 3.0)[0], [2 / 3, 1 / 3])


def test_fuzzy_c_means_finds_what_the_data_were_made_of() -> None:
    rng = np.random.default_rng(0)
    true = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])
    values = np.concatenate([rng.normal(centre, 0.5, (400, 2)) for centre in true])
    found = centres(values, values[[0, 400, 800]], 2.0, 1e-6, 200)
    assert np.allclose(found, true, atol=0.15)
    # At the end, memberships and centres fit each other.
    weights = memberships(values, found, 2.0) ** 2
    assert np.allclose((weights.T @ values) / weights.sum(0)[:, None], found, atol=1e-5)


def test_fuzziness_of_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="fuzziness"):
        FuzzyCMeans(fuzziness=1.0)


def test_features_are_named_and_mean_what_they_say() -> None:
    scan = make_scan()
    table, names = features(scan), feature_names(scan)
    assert table.shape == (int(scan.brain.sum()), len(names))
    columns = dict(zip(names, table.T, strict=True))
    assert np.array_equal(columns["t2f.intensity"], scan.channels["t2f"][scan.brain])
    assert np.allclose(columns["t1c.asymmetry"], 0, atol=1e-4)
    x = np.nonzero(scan.brain)[0]
    assert np.array_equal(columns["side"], np.abs(x - 15.5).astype(np.float32))
    assert columns["depth"].min() == 1
    assert (columns["front"].min(), columns["front"].max()) == (0, 1)


def test_the_spread_is_that_of_the_surroundings() -> None:
    scan = make_scan()
    names = feature_names(scan)
    spread = features(scan)[:, names.index("t1c.spread")]
    inside = scan.channels["t1c"][scan.brain]
    assert np.median(spread) == pytest.approx(inside.std(), rel=0.05)  # of white noise


class Drawing(VoxelClassifier):
    """Keeps what it is given to learn from."""

    def train(self, values: np.ndarray, labels: np.ndarray, weights: np.ndarray, seed: int) -> dict:
        self.given = labels, weights
        return {}

    def evidence(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError


@pytest.mark.parametrize("restored", [0.0, 1.0])
def test_training_voxels_are_half_tumour_and_weighted_back(restored: float) -> None:
    labels = np.zeros((32, 20, 16), np.uint8)
    labels[8:12, 8:12, 6:10] = 2
    scan = make_scan(labels)
    drawing = Drawing(voxels=100, restored=restored)
    assert drawing.fit([scan], 0)["voxels"] == {"background": 50, "SNFH": 50}
    found, weights = drawing.given
    share = weights[found == 2].sum() / weights.sum()
    tumour = 64 / int(scan.brain.sum())
    assert share == pytest.approx(tumour if restored else 0.5)


def test_cases_are_drawn_by_seed() -> None:
    scans = [make_scan()] * 30
    assert drawn(scans[:3], 5, 0) == [0, 1, 2]
    assert drawn(scans, 5, 1) == drawn(scans, 5, 1) != drawn(scans, 5, 2)


def test_the_radius_that_closes_rings_is_learnt_from_masks() -> None:
    shape, centre = (60, 60, 60), (30, 30, 30)
    core = ball(shape, centre, 16)
    labels = np.where(core, 1, 0).astype(np.uint8)
    shell = core & ~ball(shape, centre, 13)
    shell[:, :, 28:] = False  # a bowl, which no ball of 8 mm closes, but one of 16 mm does
    labels[shell] = 3
    brain = np.ones(shape, np.float32)
    bowl = Scan({"t1c": brain, "t2f": brain}, (1.0, 1.0, 1.0), labels)
    found = {radius: dice(core, closed(shell, radius, (1, 1, 1))) for radius in RINGS}
    assert ring_radius([bowl], [0]) == max(found, key=found.__getitem__) > 8
    silent = Scan({"t1c": brain, "t2f": brain}, (1.0, 1.0, 1.0), np.minimum(labels, 1))
    assert ring_radius([silent], [0]) == RING


class Undecided(VoxelClassifier):
    """Says tumour with 6 votes of 10, two for each of three labels."""

    def train(self, values: np.ndarray, labels: np.ndarray, weights: np.ndarray, seed: int) -> dict:
        return {}

    def evidence(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        votes = np.tile([0.4, 0.19, 0.21, 0.2], (len(values), 1))
        return 0.5 - votes[:, 0], votes[:, 1:]


def test_labels_that_share_the_evidence_of_a_tumour_do_not_lose_it() -> None:
    labels = np.zeros((32, 20, 16), np.uint8)
    for label in (1, 2, 3):
        labels[8 + label, 8:12, 6:10] = label
    scan = make_scan(labels)
    undecided = Undecided(voxels=100)
    undecided.fit([scan], 0)
    found = undecided.segment(scan)
    assert (found[scan.brain] == 2).all()  # and not background, which has most votes of any
    assert not found[~scan.brain].any()


def test_planes_tell_tumour_from_brain_and_its_labels_apart() -> None:
    rng = np.random.default_rng(0)
    centres = {0: (0, 0), 1: (4, 0), 2: (4, 6), 3: (4, -6)}
    labels = np.repeat(list(centres), (3000, 100, 100, 100))
    values = np.array([centres[label] for label in labels]) + rng.normal(0, 1, (len(labels), 2))
    machine = LinearMachine()
    machine.labels = np.arange(4, dtype=np.uint8)
    machine.train(values, labels, np.ones(len(labels)), 0)
    points = np.array([centres[label] for label in centres], float)
    any_, each = machine.evidence(points)
    assert (any_ > 0).tolist() == [False, True, True, True]
    assert each[1:].argmax(1).tolist() == [0, 1, 2]
