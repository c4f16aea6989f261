"""Augmentations of training patches, from TorchIO."""

from __future__ import annotations

import torchio as tio


def none() -> None:
    """No augmentation."""
    return None


def flips(p: float = 0.5) -> tio.Transform:
    """Mirror each axis with probability `p`."""
    return tio.RandomFlip(axes=(0, 1, 2), flip_probability=p)


def intensity(p: float = 0.3) -> tio.Transform:
    """Noise, blur and gamma, each with probability `p`; the mask stays as it is."""
    return tio.Compose(
        [
            tio.RandomNoise(std=(0, 0.1), p=p),
            tio.RandomBlur(std=(0.5, 1.0), p=p),
            tio.RandomGamma(log_gamma=(-0.3, 0.3), p=p),
        ]
    )
