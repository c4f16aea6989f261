"""The slow gain of a receiver coil."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torchio as tio

from lightning_brats import augment
from lightning_brats.data.transforms.channels import ByChannel, Drawing, single_precision


class RandomPolynomialBias(Drawing, tio.IntensityTransform):
    """Multiply by exp of a random polynomial of the place: a fast `torchio.RandomBiasField`.

    Args:
        coefficients: Range of the polynomial's coefficients; one number d means (-d, d).
        order: Of the polynomial.
        **kwargs: Of `torchio.Transform`.
    """

    def __init__(
        self, coefficients: float | Sequence[float] = 0.5, order: int = 3, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.coefficients_range = self.parse_range(coefficients, "coefficients")
        if order < 0:
            raise ValueError(f"order must be at least 0, not {order}")
        self.order = order

    def get_params(self) -> list[float]:
        """Coefficients in TorchIO's order."""
        return [self.sample_uniform(*self.coefficients_range) for _ in augment.terms(self.order)]

    def drawn(self, images: Mapping[str, Sequence[int]]) -> PolynomialBias:
        """Coefficients for each image."""
        coefficients = {name: self.get_params() for name in images}
        return PolynomialBias(coefficients, self.order, **self.passed_on())


class PolynomialBias(ByChannel):
    """Multiply all channels by exp of a polynomial (Van Leemput et al., TMI 1999).

    Args:
        coefficients: As many as `augment.terms(order)`, or such a list for each image.
        order: Of the polynomial.
        **kwargs: Of `torchio.Transform`.
    """

    change = staticmethod(augment.bias_)
    in_plane = True

    def __init__(
        self,
        coefficients: Sequence[float] | Mapping[str, Sequence[float]],
        order: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.coefficients, self.order = coefficients, order
        self.invert_transform = False
        self.args_names = ["coefficients", "order"]

    def values(self, image: str, channels: int) -> list[tuple[list[float], int]]:
        """The same coefficients and order for each channel."""
        sign = -1 if self.invert_transform else 1
        coefficients = [sign * c for c in self.get_parameter(self.coefficients, image)]
        return [(coefficients, self.order)] * channels

    def apply_transform(self, subject: tio.Subject) -> tio.Subject:
        """Multiply in place, or divide when inverted; the field is made once for all channels."""
        for name, image in self.get_images_dict(subject).items():
            data = single_precision(image)
            field = augment.bias_logarithm(data[0], *self.values(name, 1)[0])
            image.set_data(data.mul_(field.exp_()))
        return subject
