"""Gaussian noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torchio as tio

from lightning_brats import augment
from lightning_brats.data.transforms.channels import ByChannel, Drawing

Number = float | Mapping[str, float]


class RandomGaussianNoise(Drawing, tio.IntensityTransform):
    """Gaussian noise, equally strong in all channels: a fast `torchio.RandomNoise`.

    Args:
        mean: Range of the mean; one number d means (-d, d).
        std: Range of the standard deviation; one number is the upper end.
        **kwargs: Of `torchio.Transform`.
    """

    def __init__(
        self,
        mean: float | Sequence[float] = 0,
        std: float | Sequence[float] = (0, 0.25),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.mean_range = self.parse_range(mean, "mean")
        self.std_range = self.parse_range(std, "std", least=0)

    def get_params(self) -> tuple[float, float, int]:
        """Mean, standard deviation and seed."""
        mean = self.sample_uniform(*self.mean_range)
        return mean, self.sample_uniform(*self.std_range), self._get_random_seed()

    def drawn(self, images: Mapping[str, Sequence[int]]) -> GaussianNoise:
        """Parameters for each image."""
        drawn = {name: self.get_params() for name in images}
        mean, std = ({name: drawn[name][i] for name in drawn} for i in range(2))
        seed = {name: found for name, (_, _, found) in drawn.items()}
        return GaussianNoise(mean, std, seed, **self.passed_on())


class GaussianNoise(ByChannel):
    """Gaussian noise.

    Args:
        mean: Of the noise.
        std: Standard deviation of the noise.
        seed: Of the first channel's noise; each further one's is one higher.
        **kwargs: Of `torchio.Transform`.
    """

    change = staticmethod(augment.noise_)

    def __init__(
        self, mean: Number, std: Number, seed: int | Mapping[str, int], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        # TorchIO's base class has a method `mean`.
        self.noise_mean, self.noise_std, self.seed = mean, std, seed
        self.args_names = ["mean", "std", "seed"]

    def _get_named_arguments(self) -> dict[str, object]:
        return {"mean": self.noise_mean, "std": self.noise_std, "seed": self.seed}

    def values(self, image: str, channels: int) -> list[tuple[float, float, int]]:
        """Mean, standard deviation and seed for each channel."""
        mean = self.get_parameter(self.noise_mean, image)
        std = self.get_parameter(self.noise_std, image)
        seed = self.get_parameter(self.seed, image)
        return [(mean, std, seed + channel) for channel in range(channels)]
