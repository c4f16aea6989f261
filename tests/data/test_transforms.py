"""Intensity transforms against SciPy, TorchIO and what the definitions say."""

import copy
import math

import numpy as np
import pytest
import torch
import torchio as tio
from scipy import ndimage
from torch.nn import functional as F

from lightning_brats.augment import separable
from lightning_brats.data import transforms as own

SHAPE = (13, 10, 8)
RANDOM = [
    own.RandomGaussianNoise(),
    own.RandomGaussianBlur((0.5, 1)),
    own.RandomBrightness(),
    own.RandomContrast(),
    own.RandomLowResolution(),
    own.RandomGammaCorrection(),
    own.RandomGammaCorrection(invert=True),
    own.RandomPowerLaw(),
    own.RandomPolynomialBias(),
    own.RandomThickSlices(),
    own.RandomMirror(flip_probability=0.9),
    own.RandomWarp(p_rotation=1, p_scaling=1, p_elastic=1),
]
INTENSITY = RANDOM[:-2]


def named(transform: tio.Transform) -> str:
    return type(transform).__name__


def subject(seed: int = 0, channels: int = 3, shape: tuple = SHAPE) -> tio.Subject:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(channels, *shape, generator=generator) * 2 + 1
    mask = torch.randint(0, 4, (1, *shape), generator=generator).to(torch.uint8)
    return tio.Subject(image=tio.ScalarImage(tensor=image), mask=tio.LabelMap(tensor=mask))


def test_blur_is_scipy_s() -> None:
    stds = [(0.5, 1.0, 0.7), None, (3.0, 0.0, 2.5)]  # the widest kernel is longer than an axis
    before = subject()
    after = own.GaussianBlur({"image": stds})(before)
    for channel, std in enumerate(stds):
        expected = before.image.numpy()[channel]
        if std:
            expected = ndimage.gaussian_filter(expected, std)
        assert np.allclose(after.image.numpy()[channel], expected, atol=1e-5)


def test_blur_draws_torchio_s_range_for_each_channel_and_axis() -> None:
    torch.manual_seed(0)
    blur = own.RandomGaussianBlur((0.5, 1))
    drawn = np.array([blur.get_params() for _ in range(2000)])
    assert drawn.min() >= 0.5
    assert drawn.max() <= 1
    assert np.allclose(drawn.mean(0), 0.75, atol=0.02)
    assert np.allclose(drawn.std(0), 0.5 / math.sqrt(12), atol=0.01)
    assert np.abs(np.corrcoef(drawn.T)[0, 1]) < 0.1


def test_noise_has_the_mean_and_deviation_asked_for() -> None:
    before = subject(shape=(40, 40, 40))
    after = own.GaussianNoise(0.5, 0.1, 7)(before)
    noise = after.image.data - before.image.data
    assert noise.mean().item() == pytest.approx(0.5, abs=0.002)
    assert noise.std().item() == pytest.approx(0.1, abs=0.002)
    assert abs(np.corrcoef(noise.reshape(3, -1).numpy())[0, 1]) < 0.02


def test_noise_draws_a_range_of_deviations() -> None:
    torch.manual_seed(0)
    drawn = np.array([own.RandomGaussianNoise(std=(0, 0.1)).get_params() for _ in range(2000)])
    assert (drawn[:, 0] == 0).all()
    assert drawn[:, 1].min() >= 0
    assert drawn[:, 1].max() <= 0.1
    assert drawn[:, 1].mean() == pytest.approx(0.05, abs=0.003)
    assert len(set(drawn[:, 2])) > 1990


def test_brightness_multiplies() -> None:
    before = subject()
    after = own.Brightness([0.5, None, 2.0])(before)
    factors = torch.tensor([0.5, 1, 2])[:, None, None, None]
    assert torch.allclose(after.image.data, before.image.data * factors)


@pytest.mark.parametrize("factor", [0.75, 1.25])
def test_contrast_stretches_about_the_mean_within_the_range(factor: float) -> None:
    before = subject()
    x = before.image.numpy()[0]
    after = own.Contrast([factor] * 3)(before).image.numpy()[0]
    expected = np.clip((x - x.mean()) * factor + x.mean(), x.min(), x.max())
    assert np.allclose(after, expected, atol=1e-5)
    assert after.min() >= x.min() - 1e-6
    assert after.max() <= x.max() + 1e-6


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("gamma", [0.7, 1.5])
def test_gamma_correction_is_its_definition_and_keeps_mean_and_deviation(
    gamma: float, invert: bool
) -> None:
    before = subject()
    x = before.image.numpy()[1].astype(np.float64)
    y = -x if invert else x
    unit = (y - y.min()) / (y.max() - y.min())
    y = unit**gamma * (y.max() - y.min()) + y.min()
    y = -y if invert else y
    expected = (y - y.mean()) / y.std() * x.std() + x.mean()
    after = own.GammaCorrection([None, gamma, None], invert)(before).image.numpy()
    assert np.allclose(after[1], expected, atol=1e-4)
    assert after[1].mean() == pytest.approx(x.mean(), abs=1e-4)
    assert after[1].std() == pytest.approx(x.std(), abs=1e-4)
    assert np.array_equal(after[0], before.image.numpy()[0])


def test_gamma_leaves_a_constant_channel_alone() -> None:
    flat = tio.Subject(image=tio.ScalarImage(tensor=torch.full((1, 4, 4, 4), 3.0)))
    assert (own.GammaCorrection([0.7])(flat).image.data == 3).all()


def test_power_law_is_torchio_s_gamma() -> None:
    before = subject()
    before.image.data[:, :2] = 0
    gamma = [0.8, 1.3, 1.0]
    ours = own.PowerLaw(gamma)(before).image.data
    theirs = tio.transforms.augmentation.intensity.random_gamma.Gamma(gamma)(before).image.data
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("shape", [(13, 10, 8), (16, 16, 16), (9, 12, 1)])
def test_bias_is_torchio_s_for_the_same_coefficients(shape: tuple) -> None:
    torch.manual_seed(3)
    theirs = tio.RandomBiasField()
    coefficients = theirs.get_params(3, (-0.5, 0.5))
    assert len(coefficients) == len(own.RandomPolynomialBias(0.5, 3).get_params())
    before = subject(shape=shape)
    fixed = tio.transforms.augmentation.intensity.random_bias_field.BiasField(coefficients, 3)
    ours = own.PolynomialBias(coefficients, 3)
    assert torch.allclose(ours(before).image.data, fixed(before).image.data, rtol=1e-4)
    assert torch.allclose(ours.inverse()(ours(before)).image.data, before.image.data, rtol=1e-4)


def test_low_resolution_keeps_nearest_voxels_and_interpolates() -> None:
    before = subject(shape=(12, 10, 8))
    after = own.LowResolution([(0.5, 0.5, 0.5), None, (1, 1, 0.3)])(before)
    for channel, coarse in ((0, (6, 5, 4)), (2, (12, 10, 2))):
        x = before.image.data[channel][None, None]
        kept = F.interpolate(x, coarse, mode="nearest-exact")
        expected = F.interpolate(kept, (12, 10, 8), mode="trilinear")
        assert torch.allclose(after.image.data[channel], expected[0, 0])
    assert torch.equal(after.image.data[1], before.image.data[1])


def test_thick_slices_are_along_one_axis_that_is_not_thin() -> None:
    torch.manual_seed(0)
    thick = own.RandomThickSlices(downsampling=(2, 4))
    drawn = np.array([thick.get_params((9, 12, 1)) for _ in range(500)])
    assert (drawn[:, 2] == 1).all()
    assert ((drawn[:, :2] < 1).sum(1) == 1).all()
    assert (drawn[:, 0] < 1).mean() == pytest.approx(0.5, abs=0.07)
    assert 1 / drawn.min() <= 4
    assert 1 / drawn[drawn < 1].max() >= 2


def test_factors_are_above_and_below_one_with_equal_chance() -> None:
    torch.manual_seed(0)
    drawn = np.array([own.RandomGammaCorrection((0.7, 1.5)).get_params() for _ in range(2000)])
    assert (drawn < 1).mean() == pytest.approx(0.5, abs=0.04)
    assert drawn[drawn < 1].mean() == pytest.approx(0.85, abs=0.01)
    assert drawn[drawn > 1].mean() == pytest.approx(1.25, abs=0.02)
    above = [own.RandomBrightness((1.1, 1.3)).get_params() for _ in range(200)]
    assert min(above) >= 1.1
    below = [own.RandomBrightness((0.6, 0.8)).get_params() for _ in range(200)]
    assert max(below) <= 0.8


@pytest.mark.parametrize("transform", [own.RandomLowResolution, own.RandomGaussianBlur])
def test_channels_are_chosen_one_by_one(transform: type) -> None:
    torch.manual_seed(0)
    chosen = np.zeros(3)
    none = 0
    for seed in range(400):
        tiny = subject(seed, shape=(4, 4, 4))
        after = transform(p_per_channel=0.5)(tiny)
        values = after.applied_transforms[0][1] if after.history else {}
        by_channel = next((v["image"] for v in values.values() if isinstance(v, dict)), [None] * 3)
        chosen += [value is not None for value in by_channel]
        none += not after.history
    assert np.allclose(chosen / 400, 0.5, atol=0.1)
    assert none / 400 == pytest.approx(1 / 8, abs=0.05)


@pytest.mark.parametrize("transform", INTENSITY, ids=named)
def test_intensity_leaves_the_mask_and_the_input_alone(transform: tio.Transform) -> None:
    torch.manual_seed(1)
    before = subject()
    kept = copy.deepcopy(before)
    after = transform(before)
    assert torch.equal(before.image.data, kept.image.data)
    assert torch.equal(after.mask.data, kept.mask.data)
    assert not torch.equal(after.image.data, kept.image.data)
    assert after.image.data.dtype == torch.float32
    assert after.image.data.isfinite().all()


@pytest.mark.parametrize("transform", RANDOM, ids=named)
def test_history_repeats_the_transform(transform: tio.Transform) -> None:
    torch.manual_seed(2)
    before = subject()
    after = transform(before)
    assert len(after.history) == 1
    again = after.get_composed_history()(before)
    assert torch.equal(again.image.data, after.image.data)
    assert torch.equal(again.mask.data, after.mask.data)


@pytest.mark.parametrize("transform", RANDOM, ids=named)
def test_the_seed_decides(transform: tio.Transform) -> None:
    results = []
    for seed in (5, 5, 9):
        torch.manual_seed(seed)
        results.append(transform(subject()).image.data)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@pytest.mark.parametrize("transform", RANDOM, ids=named)
def test_torchio_s_names_do_not_clash_with_ours(transform: tio.Transform) -> None:
    torch.manual_seed(2)
    applied = transform(subject()).history[0]
    assert not hasattr(tio, named(applied))
    assert not hasattr(tio, named(transform))


@pytest.mark.parametrize("transform", INTENSITY, ids=named)
def test_images_can_be_included_and_left_out(transform: tio.Transform) -> None:
    torch.manual_seed(4)
    two = subject()
    two.add_image(tio.ScalarImage(tensor=two.image.data.clone()), "other")
    limited = copy.deepcopy(transform)
    limited.exclude = ["image"]
    after = limited(two)
    assert torch.equal(after.image.data, two.image.data)
    assert not torch.equal(after.other.data, two.other.data)


@pytest.mark.parametrize("transform", INTENSITY, ids=named)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_accepted(transform: tio.Transform, axis: int) -> None:
    shape = tuple(1 if a == axis else 12 for a in range(3))
    torch.manual_seed(4)
    after = transform(subject(shape=shape))
    assert after.spatial_shape == shape
    assert after.image.data.isfinite().all()


def test_p_is_the_probability() -> None:
    torch.manual_seed(0)
    small = subject(shape=(2, 2, 2))
    applied = sum(bool(own.RandomBrightness(p=0.15)(small).history) for _ in range(2000))
    assert applied / 2000 == pytest.approx(0.15, abs=0.025)


@pytest.mark.parametrize("shape", [SHAPE, (9, 1, 8)])
def test_mirror_reverses_image_and_mask_and_undoes_itself(shape: tuple) -> None:
    before = subject(shape=shape)
    after = own.Mirror([0, 1])(before)
    assert np.array_equal(after.image.numpy(), before.image.numpy()[:, ::-1, ::-1])
    assert np.array_equal(after.mask.numpy(), before.mask.numpy()[:, ::-1, ::-1])
    back = after.apply_inverse_transform()
    assert torch.equal(back.image.data, before.image.data)
    torch.manual_seed(0)
    random = own.RandomMirror(flip_probability=0.3)
    drawn = [random.get_params() for _ in range(2000)]
    for axis in range(3):
        assert np.mean([axis in axes for axes in drawn]) == pytest.approx(0.3, abs=0.03)


def test_background_is_zero_again() -> None:
    before = subject()
    before.image.data[:, :5] = 0
    before.image.data[0] = 0  # a modality that is empty everywhere
    marked = own.MarkBrain()(before)
    after = own.ClearBackground()(own.RandomGaussianNoise(std=(1, 1))(marked))
    assert set(after.get_images_names()) == {"image", "mask"}
    assert not after.image.data[:, :5].any()
    assert after.image.data[:, 5:].ne(0).all()


def test_background_follows_flips() -> None:
    before = subject()
    before.image.data[:, :5] = 0
    steps = [
        own.MarkBrain(),
        tio.RandomFlip(0, 1),
        own.RandomGaussianNoise(),
        own.ClearBackground(),
    ]
    after = tio.Compose(steps)(before)
    assert not after.image.data[:, -5:].any()
    assert after.image.data[:, :-5].ne(0).all()
    again = after.get_composed_history()(before)
    assert torch.equal(again.image.data, after.image.data)


def test_expansion_is_the_triple_sum() -> None:
    coefficients = torch.randn(2, 3, 4, 5)
    bases = [torch.randn(size, count) for size, count in ((6, 2), (7, 3), (8, 4))]
    expected = torch.einsum("ijke,xi,yj,zk->xyze", coefficients, *bases)
    assert torch.allclose(separable.expand(coefficients, bases), expected, atol=1e-4)


def test_splines_are_a_partition_of_unity_and_reproduce_lines() -> None:
    basis = separable.cubic_spline(20, 7)
    assert torch.allclose(basis.sum(1), torch.ones(20, dtype=torch.float64))
    place = (torch.arange(7, dtype=torch.float64) - 1) / 4 * 20 - 0.5
    assert torch.allclose(basis @ place, torch.arange(20, dtype=torch.float64))


@pytest.mark.parametrize(
    ("transform", "wrong"),
    [
        (own.RandomGaussianBlur, {"std": (-1, 1)}),
        (own.RandomGaussianBlur, {"p_per_channel": 2}),
        (own.RandomBrightness, {"factor": (1.2, 0.8)}),
        (own.RandomLowResolution, {"zoom": (0.5, 2)}),
        (own.RandomPolynomialBias, {"order": -1}),
        (own.RandomThickSlices, {"axes": (0, 3)}),
        (own.RandomWarp, {"scaling": (0, 1)}),
        (own.RandomWarp, {"num_control_points": 3}),
        (own.RandomWarp, {"max_displacement": -1}),
        (own.RandomWarp, {"p_rotation": 1.5}),
    ],
)
def test_wrong_arguments_are_refused(transform: type, wrong: dict) -> None:
    with pytest.raises(ValueError, match=r"."):
        transform(**wrong)
