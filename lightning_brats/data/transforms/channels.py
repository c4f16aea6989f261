"""What intensity transforms with parameters of their own for each channel have in common.

TorchIO's intensity transforms mostly draw one set of parameters for all channels of an image and
make a new tensor at every step. These draw for every channel, may leave some channels alone, and
work in place in single precision. As everywhere in TorchIO, a `Random…` transform draws and a
plain one, which goes into the subject's history, applies: what it does to the voxels is a step of
`lightning_brats.augment`, which can be taken on the training device instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torchio as tio
from torch import Tensor
from torchio.transforms.augmentation import RandomTransform

from lightning_brats import augment

Values = Sequence[Any] | Mapping[str, Sequence[Any]]
"""One parameter for each channel, `None` to leave it alone; or such a list for each image."""


def single_precision(image: tio.ScalarImage) -> Tensor:
    """The image's own tensor (C, X, Y, Z) where it is float32, else a converted one."""
    return image.data.float()


class ByChannel(tio.IntensityTransform):
    """A transform of single channels; the first of `args_names` has one value for each of them."""

    change: ClassVar[Any]
    """(channel (X, Y, Z), value) → the channel, changed in place; of `lightning_brats.augment`."""
    in_plane: ClassVar[bool] = False
    """Whether places or neighbours matter to it, as in `augment.ByChannel`."""

    def step(self, image: str, channels: int) -> augment.ByChannel:
        """What it does to an image of so many channels."""
        own = type(self)
        return augment.ByChannel(own.change, self.values(image, channels), own.in_plane)

    def values(self, image: str, channels: int) -> Sequence[Any]:
        """One for each channel."""
        return self.get_parameter(getattr(self, self.args_names[0]), image)

    def apply_transform(self, subject: tio.Subject) -> tio.Subject:
        """Change each channel that has a value."""
        for name, image in self.get_images_dict(subject).items():
            step, data = self.step(name, image.num_channels), single_precision(image)
            for channel, value in zip(data, step.values, strict=True):
                if value is not None:
                    step.function(channel, value)
            image.set_data(data)
        return subject


class Drawing(RandomTransform):
    """A transform that draws, and hands on its own arguments to the one that applies."""

    def drawn(self, images: Mapping[str, Sequence[int]]) -> tio.Transform | None:
        """The transform to apply to images of these shapes (C, X, Y, Z); `None` for none."""
        raise NotImplementedError

    def apply_transform(self, subject: tio.Subject) -> tio.Subject:
        """Draw and apply."""
        intensity: Any = isinstance(self, tio.IntensityTransform)
        chosen = subject.get_images_dict(intensity, self.include, self.exclude)
        images = {name: image.shape for name, image in chosen.items()}
        fixed = self.drawn(images) if images else None
        return fixed(subject) if fixed else subject

    @staticmethod
    def parse_range(
        value: float | Sequence[float],
        name: str,
        least: float | None = None,
        most: float | None = None,
    ) -> tuple[float, float]:
        """TorchIO's reading of a range: (a, b), or d for (-d, d), or for (least, d).

        Raises:
            ValueError: It is none, or goes beyond its limits.
        """
        pair: Any = value if isinstance(value, int | float) else tuple(value)
        return tio.Transform._parse_range(pair, name, least, most)

    def passed_on(self) -> dict[str, Any]:
        """Arguments of `torchio.Transform`, but the probability."""
        return dict(self._get_base_args())


class RandomByChannel(Drawing, tio.IntensityTransform):
    """Draws the values of a `ByChannel` transform.

    Args:
        p_per_channel: Probability that a channel is changed, when the transform is applied at all.
        **kwargs: Of `torchio.Transform`.
    """

    applies: ClassVar[type[ByChannel]]

    def __init__(self, p_per_channel: float = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.p_per_channel = self.parse_probability(p_per_channel)

    def get_params(self) -> Any:
        """Value for one channel."""
        raise NotImplementedError

    def fixed(self) -> dict[str, Any]:
        """Further arguments of the transform that is applied."""
        return {}

    def drawn(self, images: Mapping[str, Sequence[int]]) -> tio.Transform | None:
        """A value for each channel, by chance."""
        values = {
            name: [
                self.get_params() if torch.rand(1).item() < self.p_per_channel else None
                for _ in range(shape[0])
            ]
            for name, shape in images.items()
        }
        if all(value is None for each in values.values() for value in each):
            return None
        applies: Any = type(self).applies
        return applies(values, **self.fixed(), **self.passed_on())

    def sample_factor(self, low: float, high: float) -> float:
        """Below or above 1 with equal chance, then uniform there, as nnU-Net draws factors."""
        if low < 1 and (high <= 1 or torch.rand(1).item() < 0.5):
            return self.sample_uniform(low, min(high, 1))
        return self.sample_uniform(max(low, 1), high)
