"""What each transform of the training does to a case: strengths chosen by hand, chance by a seed.

Shapes: `C` modalities, `x y z` a case as the network sees it, with fewer voxels.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import numpy as np
import torch
import torchio as tio

from lightning_brats.data import transforms as ours
from lightning_brats.data.case import Case
from lightning_brats.data.preprocess import Preprocess
from lightning_brats.data.reading import read_native

LONGEST = 96
"""Most voxels along an axis of what is shown: motion takes seconds on a whole volume."""

_drawing = threading.Lock()  # the generator is one for all sessions
_composing = threading.Lock()  # and so is Hydra's configuration


@dataclass(frozen=True)
class Slider:
    """A strength.

    Args:
        name: For people.
        low: Least.
        high: Most.
        start: At first.
        step: Between two values; 1 means whole numbers.
    """

    name: str
    low: float
    high: float
    start: float
    step: float


@dataclass(frozen=True)
class Effect:
    """A transform with its strengths.

    Args:
        sliders: Its strengths.
        make: Strengths, in order, and number of channels → transform.
        chance: Whether the seed changes anything.
    """

    sliders: tuple[Slider, ...]
    make: Callable[..., tio.Transform]
    chance: bool = False

    def build(self, values: Sequence[float], channels: int) -> tio.Transform:
        """The transform; what is not brain stays so, as in training."""
        built = ours.chain([self.make(*values, channels)], keep_background=True, device=False)
        assert built is not None
        return built


@dataclass(frozen=True)
class Sample:
    """A case to try transforms on.

    Args:
        image: (C, x, y, z) float32, normalised.
        labels: (x, y, z) uint8 internal labels.
        modalities: C names.
        spacing: Of the voxels shown, in mm.
        steps: Of so many voxels along each axis one is shown.
    """

    image: np.ndarray
    labels: np.ndarray
    modalities: tuple[str, ...]
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    steps: tuple[int, int, int] = (1, 1, 1)

    @classmethod
    def read(cls, case: Case) -> Sample:
        """A case as BraTS' networks see it, on its mask's grid, long axes of it thinned out.

        Raises:
            DataError: A file cannot be used.
        """
        volume = read_native(case)
        mask = np.zeros(volume.brain.shape, np.uint8) if volume.mask is None else volume.mask
        prepared = Preprocess()(case, replace(volume, mask=mask))
        assert prepared.mask is not None
        labels, modalities = prepared.mask, list(case.images)
        i, j, k = (max(1, -(-size // LONGEST)) for size in labels.shape)
        every = (slice(None, None, i), slice(None, None, j), slice(None, None, k))
        image = np.ascontiguousarray(prepared.image[(slice(None), *every)], np.float32)
        thinned = np.ascontiguousarray(labels[every])
        x, y, z = prepared.geometry.spacing
        return cls(image, thinned, tuple(modalities), (i * x, j * y, k * z), (i, j, k))


def _warp(degrees: float, scaling: float, bend: float, channels: int) -> tio.Transform:
    return ours.RandomWarp(
        degrees=(degrees, degrees),
        scaling=(scaling, scaling),
        max_displacement=bend,
        p_rotation=float(degrees != 0),
        p_scaling=float(scaling != 1),
        p_elastic=float(bend > 0),
    )


def _motion(degrees: float, shift: float, times: float, channels: int) -> tio.Transform:
    return tio.RandomMotion(
        degrees=(degrees, degrees), translation=(shift, shift), num_transforms=int(times)
    )


def _ghosts(number: float, strength: float, channels: int) -> tio.Transform:
    return tio.RandomGhosting(num_ghosts=(int(number),) * 2, intensity=(strength, strength))


def _spikes(number: float, strength: float, channels: int) -> tio.Transform:
    return tio.RandomSpike(num_spikes=(int(number),) * 2, intensity=(strength, strength))


def _thick(slices: float, channels: int) -> tio.Transform:
    return ours.LowResolution([(1.0, 1.0, 1 / slices)] * channels)


EFFECTS: Mapping[str, Effect] = {
    "rotation, scaling, bending": Effect(
        (
            Slider("degrees about each axis", -45, 45, 15, 1),
            Slider("scaling (above 1: smaller)", 0.6, 1.6, 1.0, 0.05),
            Slider("bending (voxels)", 0, 12, 4, 0.5),
        ),
        _warp,
        chance=True,
    ),
    "mirror": Effect(
        (Slider("axis (0 left–right, 1 front–back, 2 up–down)", 0, 2, 0, 1),),
        lambda axis, channels: ours.Mirror([int(axis)]),
    ),
    "Gaussian noise": Effect(
        (Slider("standard deviation", 0, 1, 0.2, 0.02),),
        lambda std, channels: ours.RandomGaussianNoise(std=(std, std)),
        chance=True,
    ),
    "blur": Effect(
        (Slider("standard deviation (voxels)", 0, 4, 1.0, 0.1),),
        lambda std, channels: ours.GaussianBlur([(std, std, std)] * channels),
    ),
    "brightness": Effect(
        (Slider("factor", 0.3, 2, 1.25, 0.05),),
        lambda factor, channels: ours.Brightness([factor] * channels),
    ),
    "contrast": Effect(
        (Slider("factor", 0.3, 2, 1.25, 0.05),),
        lambda factor, channels: ours.Contrast([factor] * channels),
    ),
    "gamma": Effect(
        (Slider("exponent", 0.3, 3, 1.5, 0.05),),
        lambda gamma, channels: ours.GammaCorrection([gamma] * channels),
    ),
    "gamma of the negative": Effect(
        (Slider("exponent", 0.3, 3, 1.5, 0.05),),
        lambda gamma, channels: ours.GammaCorrection([gamma] * channels, invert=True),
    ),
    "power law": Effect(
        (Slider("exponent", 0.3, 3, 1.3, 0.05),),
        lambda gamma, channels: ours.PowerLaw([gamma] * channels),
    ),
    "low resolution": Effect(
        (Slider("share of voxels kept along each axis", 0.1, 1, 0.5, 0.05),),
        lambda zoom, channels: ours.LowResolution([(zoom, zoom, zoom)] * channels),
    ),
    "thick slices": Effect((Slider("thickness (voxels)", 1, 8, 4, 0.5),), _thick),
    "bias field": Effect(
        (Slider("coefficients", 0, 1, 0.4, 0.05), Slider("order", 1, 4, 3, 1)),
        lambda size, order, channels: ours.RandomPolynomialBias((-size, size), int(order)),
        chance=True,
    ),
    "motion": Effect(
        (
            Slider("degrees", 0, 15, 5, 0.5),
            Slider("shift (mm)", 0, 15, 5, 0.5),
            Slider("movements", 1, 5, 2, 1),
        ),
        _motion,
        chance=True,
    ),
    "ghosting": Effect(
        (Slider("ghosts", 1, 12, 5, 1), Slider("intensity", 0, 2, 0.8, 0.05)), _ghosts, chance=True
    ),
    "spikes": Effect(
        (Slider("spikes", 1, 5, 1, 1), Slider("intensity", 0, 2, 0.4, 0.05)), _spikes, chance=True
    ),
    "modality dropout": Effect(
        (Slider("probability for each modality", 0, 1, 0.5, 0.05),),
        lambda share, channels: ours.RandomModalityDropout(p_per_channel=share),
        chance=True,
    ),
}


def presets() -> list[str]:
    """Names of the chains that can be trained with."""
    folder = files("lightning_brats.configs").joinpath("augmentation")
    names = (path.name.removesuffix(".yaml") for path in folder.iterdir())
    return sorted(name for name in names if name != "none")


def preset(name: str) -> tio.Transform | None:
    """A whole chain, as `augmentation=<name>` trains with."""
    from lightning_brats.experiment import configure
    from lightning_brats.parts import build

    with _composing:
        cfg = configure(f"augmentation={name}", "augmentation.device=false")
    return build(cfg.augmentation)


def apply(sample: Sample, transform: tio.Transform | None, seed: int) -> Sample:
    """What a transform makes of a sample; the seed decides what it leaves to chance."""
    image, labels = (torch.from_numpy(each.copy()) for each in (sample.image, sample.labels[None]))
    affine = np.diag([*sample.spacing, 1.0])  # motion is in mm
    subject: Any = tio.Subject(
        image=tio.ScalarImage(tensor=image, affine=affine),
        mask=tio.LabelMap(tensor=labels, affine=affine),
    )
    with _drawing, torch.random.fork_rng([]):
        torch.manual_seed(seed)
        changed = subject if transform is None else transform(subject)
    mask = changed["mask"].data[0].numpy().astype(np.uint8)
    return replace(sample, image=changed["image"].data.numpy(), labels=mask)
