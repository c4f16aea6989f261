"""Drawing a rotation, a scaling and an elastic deformation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torchio as tio

from lightning_brats.data.transforms.channels import Drawing
from lightning_brats.data.transforms.warp import Warp

FOLDING = 0.4
"""Control points moved by less than this share of their spacing never fold space
(Rueckert et al., MICCAI 2006)."""


class RandomWarp(Drawing, tio.SpatialTransform):
    """Rotate, scale and bend, each by chance, in one interpolation.

    The defaults are nnU-Net's for 3-D patches, which bend nothing.

    Args:
        degrees: Range of the rotation about each axis, as in `torchio.RandomAffine`.
        scaling: Range of the input voxels for each output voxel, the same on all axes.
        num_control_points: Of the elastic deformation along each axis, as in
            `torchio.RandomElasticDeformation`.
        max_displacement: Of a control point along each axis, in voxels; in patches so small that
            space would fold, `FOLDING` of the control points' spacing.
        p_rotation: Probability of a rotation.
        p_scaling: Probability of scaling.
        p_elastic: Probability of an elastic deformation.
        **kwargs: Of `torchio.Transform`.
    """

    def __init__(
        self,
        degrees: float | Sequence[float] = 30,
        scaling: Sequence[float] = (0.7, 1.4),
        num_control_points: int = 7,
        max_displacement: float = 7.5,
        p_rotation: float = 0.2,
        p_scaling: float = 0.2,
        p_elastic: float = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.degrees = self.parse_params(degrees, 0, "degrees")
        self.scaling = self.parse_range(scaling, "scaling", least=0)
        if self.scaling[0] == 0:
            raise ValueError(f"scaling must be above 0, not {scaling}")
        if num_control_points < 4:
            raise ValueError(f"num_control_points must be at least 4, not {num_control_points}")
        if max_displacement < 0:
            raise ValueError(f"max_displacement must be at least 0, not {max_displacement}")
        self.num_control_points, self.max_displacement = num_control_points, max_displacement
        chances = (p_rotation, p_scaling, p_elastic)
        self.chances = [self.parse_probability(p) for p in chances]

    def draw(self, shape: Sequence[int]) -> Warp | None:
        """A warp for an output of this shape (X, Y, Z), or `None` where nothing is to happen."""
        rotate, scale, bend = (torch.rand(1).item() < p for p in self.chances)
        if not (rotate or scale or bend):
            return None
        return Warp(
            degrees=self.sample_uniform_sextet(self.degrees) if rotate else (0, 0, 0),
            scaling=self.sample_uniform(*self.scaling) if scale else 1,
            control_points=self._control_points(shape) if bend else None,
            **self.passed_on(),
        )

    def plan(self, shape: Sequence[int]) -> Warp | None:
        """`draw`, where the transform's own probability `p` is met."""
        return self.draw(shape) if torch.rand(1).item() <= self.probability else None

    def apply_transform(self, subject: tio.Subject) -> tio.Subject:
        """Draw and apply, within the subject."""
        warp = self.draw(subject.spatial_shape)
        return warp(subject) if warp else subject

    def _control_points(self, shape: Sequence[int]) -> np.ndarray:
        count = self.num_control_points
        spacing = np.asarray(shape) / (count - 3)
        limit = np.minimum(self.max_displacement, FOLDING * spacing)
        return (2 * torch.rand(count, count, count, 3).numpy() - 1) * limit


def leading_warp(transform: Any) -> tuple[RandomWarp | None, list[Any]]:
    """A `RandomWarp` that a transform begins with, and the transforms that follow.

    Whoever cuts patches can so ask the warp which voxels it needs.
    """
    steps = [transform] if transform is not None else []
    if isinstance(transform, tio.Compose) and transform.probability == 1:
        steps = list(transform.transforms)
    if steps and isinstance(steps[0], RandomWarp):
        return steps[0], steps[1:]
    return None, steps
