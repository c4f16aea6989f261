"""Augmentation of training patches: TorchIO transforms, and fast ones of the same kind.

Where TorchIO's own transform would hold up a training, this package has one with the same meaning
that works in place, in single precision, on all channels at once. All keep TorchIO's conventions:
probability `p`, `include` and `exclude`, the subject's history, reproducible results.
"""

from lightning_brats.data.transforms.background import ClearBackground, MarkBrain
from lightning_brats.data.transforms.bias import PolynomialBias, RandomPolynomialBias
from lightning_brats.data.transforms.contrast import (
    Brightness,
    Contrast,
    RandomBrightness,
    RandomContrast,
)
from lightning_brats.data.transforms.gamma import (
    GammaCorrection,
    PowerLaw,
    RandomGammaCorrection,
    RandomPowerLaw,
)
from lightning_brats.data.transforms.mirror import Mirror, RandomMirror
from lightning_brats.data.transforms.missing import ModalityDropout, RandomModalityDropout
from lightning_brats.data.transforms.noise import GaussianNoise, RandomGaussianNoise
from lightning_brats.data.transforms.planning import (
    Chain,
    draw_plan,
    obstacle,
    works_on_device,
)
from lightning_brats.data.transforms.presets import chain, none, padding
from lightning_brats.data.transforms.random_warp import RandomWarp, leading_warp
from lightning_brats.data.transforms.resolution import (
    GaussianBlur,
    LowResolution,
    RandomGaussianBlur,
    RandomLowResolution,
    RandomThickSlices,
)
from lightning_brats.data.transforms.warp import Warp

__all__ = [
    "Brightness",
    "Chain",
    "ClearBackground",
    "Contrast",
    "GammaCorrection",
    "GaussianBlur",
    "GaussianNoise",
    "LowResolution",
    "MarkBrain",
    "Mirror",
    "ModalityDropout",
    "PolynomialBias",
    "PowerLaw",
    "RandomBrightness",
    "RandomContrast",
    "RandomGammaCorrection",
    "RandomGaussianBlur",
    "RandomGaussianNoise",
    "RandomLowResolution",
    "RandomMirror",
    "RandomModalityDropout",
    "RandomPolynomialBias",
    "RandomPowerLaw",
    "RandomThickSlices",
    "RandomWarp",
    "Warp",
    "chain",
    "draw_plan",
    "leading_warp",
    "none",
    "obstacle",
    "padding",
    "works_on_device",
]
