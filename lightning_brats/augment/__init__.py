"""Augmentation of patches where they are: in a worker, or on the training device.

What is done to a patch is drawn beforehand, on the host, and kept as a `Plan`: plain numbers, a few
hundred bytes. A plan is applied by the same code wherever the patch lies, so a patch that is
augmented by a worker and one that is augmented on the training device are the same patch (but for
the values of Gaussian noise, which each kind of device makes its own of, and rounding).

Everything works channel by channel in single precision and in place, takes its parameters as
numbers, and never asks the device for a value: on CUDA no step waits for another.
"""

from lightning_brats.augment.bias import bias_, bias_logarithm, terms
from lightning_brats.augment.contrast import scale_, stretch_
from lightning_brats.augment.gamma import gamma_, power_, power_law_
from lightning_brats.augment.missing import blank_
from lightning_brats.augment.noise import noise_
from lightning_brats.augment.plan import ByChannel, Flip, Plan, augment_, thin_axis
from lightning_brats.augment.resolution import blur_, coarsen_

__all__ = [
    "ByChannel",
    "Flip",
    "Plan",
    "augment_",
    "bias_",
    "bias_logarithm",
    "blank_",
    "blur_",
    "coarsen_",
    "gamma_",
    "noise_",
    "power_",
    "power_law_",
    "scale_",
    "stretch_",
    "terms",
    "thin_axis",
]
