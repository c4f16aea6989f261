"""The `augmentation` configs: what they are made of, and that every TorchIO transform is one."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchio as tio
from hydra import compose, initialize_config_module

import lightning_brats
from lightning_brats.data import transforms as own
from lightning_brats.errors import ConfigError
from lightning_brats.parts import build

FOLDER = Path(lightning_brats.__file__).parent / "configs" / "augmentation"
PRESETS = sorted(path.stem for path in FOLDER.glob("*.yaml"))
AUGMENTATIONS = [
    "RandomAffine",
    "RandomAffineElasticDeformation",
    "RandomAnisotropy",
    "RandomBiasField",
    "RandomBlur",
    "RandomElasticDeformation",
    "RandomFlip",
    "RandomGamma",
    "RandomGhosting",
    "RandomMotion",
    "RandomNoise",
    "RandomSpike",
    "RandomSwap",
]


def preset(name: str, *overrides: str) -> tio.Compose:
    with initialize_config_module("lightning_brats.configs", version_base="1.3"):
        cfg = compose("run", [f"augmentation={name}", *overrides])
    return build(cfg.augmentation)


def subject(shape: tuple = (16, 18, 14)) -> tio.Subject:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(4, *shape, generator=generator) * 2
    image[:, :3] = 0
    mask = torch.randint(0, 4, (1, *shape), generator=generator).to(torch.uint8)
    return tio.Subject(image=tio.ScalarImage(tensor=image), mask=tio.LabelMap(tensor=mask))


def test_standard_is_nnunet_s_set_in_its_order() -> None:
    """Values of nnUNetTrainer.get_training_transforms, nnU-Net 2.8."""
    warp, mark, *steps, clear = preset("standard").transforms
    assert isinstance(mark, own.MarkBrain)
    assert isinstance(clear, own.ClearBackground)
    assert warp.probability == 1
    assert warp.chances == [0.2, 0.2, 0]
    assert warp.degrees == (-30, 30) * 3
    assert warp.scaling == (0.7, 1.4)
    kinds_and_p = [(type(step), step.probability) for step in steps]
    assert kinds_and_p == [
        (own.RandomGaussianNoise, 0.1),
        (own.RandomGaussianBlur, 0.2),
        (own.RandomBrightness, 0.15),
        (own.RandomContrast, 0.15),
        (own.RandomLowResolution, 0.25),
        (own.RandomGammaCorrection, 0.1),
        (own.RandomGammaCorrection, 0.3),
        (own.RandomMirror, 1),
    ]
    noise, blur, brightness, contrast, low, inverted, gamma, mirror = steps
    assert noise.mean_range == (0, 0)
    assert noise.std_range == (0, 0.1)
    assert blur.std_ranges == (0.5, 1) * 3
    assert blur.p_per_channel == low.p_per_channel == 0.5
    assert brightness.factor_range == contrast.factor_range == (0.75, 1.25)
    assert brightness.p_per_channel == contrast.p_per_channel == gamma.p_per_channel == 1
    assert low.zoom_range == (0.5, 1)
    assert inverted.gamma_range == gamma.gamma_range == (0.7, 1.5)
    assert inverted.invert
    assert not gamma.invert
    assert mirror.axes == (0, 1, 2)
    assert mirror.flip_probability == 0.5


def test_full_adds_bending_bias_field_and_artefacts_to_standard() -> None:
    standard, full = preset("standard").transforms, preset("full").transforms
    assert [repr(a) for a in full[1 : len(standard) - 1]] == [repr(a) for a in standard[1:-1]]
    assert full[0].chances[:2] == standard[0].chances[:2]
    assert full[0].chances[2] > 0
    added = {type(step) for step in full[len(standard) - 1 : -1]}
    assert added == {
        own.RandomPolynomialBias,
        own.RandomThickSlices,
        tio.RandomMotion,
        tio.RandomGhosting,
        tio.RandomSpike,
    }
    assert isinstance(full[-1], own.ClearBackground)


def test_intensity_is_noise_blur_and_gamma() -> None:
    kinds = [type(step) for step in preset("intensity").transforms[1:-1]]
    assert kinds == [own.RandomGaussianNoise, own.RandomGaussianBlur, own.RandomPowerLaw]


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "none"])
@pytest.mark.parametrize("shape", [(16, 18, 14), (16, 18, 1)])
def test_presets_keep_shape_labels_and_finite_values(name: str, shape: tuple) -> None:
    transform = preset(name)
    torch.manual_seed(0)
    for _ in range(15):
        after = transform(subject(shape))
        assert set(after.get_images_names()) == {"image", "mask"}
        assert after.image.data.shape == (4, *shape)
        assert after.image.data.isfinite().all()
        assert set(np.unique(after.mask.data)) <= {0, 1, 2, 3}


@pytest.mark.parametrize("name", ["intensity", "standard", "full", "mri_artifacts"])
def test_background_stays_zero(name: str) -> None:
    transform = preset(name)
    torch.manual_seed(1)
    shares = []
    for _ in range(15):
        before = subject()
        after = transform(before)
        shares.append((after.image.data == 0).all(0).float().mean().item())
    assert max(shares) > 0.15  # three of sixteen planes, where no warp moved them
    assert np.median(shares) == pytest.approx(3 / 16, abs=0.08)


@pytest.mark.parametrize("name", ["flips", "intensity", "spatial", "standard", "full"])
def test_presets_are_repeated_by_their_history(name: str) -> None:
    transform = preset(name)
    for seed in range(5):
        torch.manual_seed(seed)
        after = transform(subject())
        again = after.get_composed_history()(subject())
        assert torch.allclose(again.image.data, after.image.data)
        assert torch.equal(again.mask.data, after.mask.data)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_can_be_sent_to_workers(name: str) -> None:
    transform = preset(name)
    sent = pickle.loads(pickle.dumps(transform))
    results = []
    for each in (transform, sent):
        torch.manual_seed(3)
        results.append(each(subject()).image.data if each else torch.zeros(1))
    assert torch.equal(*results)


def test_single_values_can_be_overridden_and_steps_left_out() -> None:
    changed = preset(
        "standard", "augmentation.transforms.noise.p=0.5", "augmentation.transforms.blur=null"
    )
    kinds = {type(step): step for step in changed.transforms}
    assert kinds[own.RandomGaussianNoise].probability == 0.5
    assert own.RandomGaussianBlur not in kinds


def test_a_preset_without_a_step_left_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"leaves out every step[\s\S]*augmentation=none"):
        preset("flips", "augmentation.transforms.mirror=null")


def test_every_augmentation_of_torchio_is_known_to_the_next_test() -> None:
    theirs = {name for name in dir(tio) if name.startswith("Random")}
    # RandomLabelsToImage makes images out of masks; RandomTransform is the base class.
    assert theirs - {"RandomLabelsToImage", "RandomTransform"} <= set(AUGMENTATIONS)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_of_torchio_works_by_config(name: str) -> None:
    settings = {
        "RandomSwap": "patch_size: 4",
        "RandomFlip": "axes: [0, 2]",
        "RandomElasticDeformation": "max_displacement: 1",
        "RandomAffineElasticDeformation": "elastic_kwargs: {max_displacement: 1}",
    }
    entry = f"{{_target_: torchio.{name}, {settings.get(name, 'p: 1')}}}"
    transform = preset("custom", f"augmentation.transforms=[{entry}]")
    torch.manual_seed(0)
    before = subject((20, 20, 20))
    after = transform(before)
    assert [type(step).__name__ for step in transform.transforms] == [name]
    assert after.image.data.shape == (4, 20, 20, 20)
    assert after.image.data.isfinite().all()


def test_nested_transforms_work_by_config() -> None:
    one_of = "{_target_: torchio.OneOf, transforms: [{_target_: torchio.RandomSpike}]}"
    transform = preset("custom", f"augmentation.transforms=[{one_of}]")
    assert not next(iter(transform.transforms[0].transforms_dict)).copy
    transform(subject())


@pytest.mark.parametrize(
    ("entries", "match"),
    [
        ("[{_target_: torchio.RandomGamma, log_gamma: [1, 0]}]", "log_gamma"),
        ("[{_target_: torchio.RandomGama}]", "RandomGama"),
        ("[{p: 0.3}]", "no TorchIO transform"),
        (
            "[{_target_: torchio.RandomFlip},"
            "{_target_: lightning_brats.data.transforms.RandomWarp}]",
            "put it first",
        ),
    ],
)
def test_what_cannot_work_is_refused(entries: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        preset("custom", f"augmentation.transforms={entries}")


def test_nothing_is_nothing() -> None:
    assert preset("none") is None
    assert own.chain([]) is None
