"""Training for patients who lack a modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torchio as tio

from lightning_brats import augment
from lightning_brats.data.transforms.channels import ByChannel, Drawing, Values


class ModalityDropout(ByChannel):
    """Set channels to zero.

    Args:
        missing: For each channel; `True` takes it away, `None` leaves it alone.
        **kwargs: Of `torchio.Transform`.
    """

    change = staticmethod(augment.blank_)

    def __init__(self, missing: Values, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.missing = missing
        self.args_names = ["missing"]


class RandomModalityDropout(Drawing, tio.IntensityTransform):
    """Take modalities away, so that one network serves patients with all of them or with few.

    Each modality goes with the same probability, independently; where all would, one of them,
    drawn by lot, stays (the modality dropout of Neverova et al. 2016; for BraTS e.g. Feng et al.,
    Front Comput Neurosci 2020).

    Args:
        p_per_channel: Probability that a modality goes.
        **kwargs: Of `torchio.Transform`.
    """

    def __init__(self, p_per_channel: float = 0.25, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.p_per_channel = self.parse_probability(p_per_channel)

    def drawn(self, images: Mapping[str, Sequence[int]]) -> tio.Transform | None:
        """Which channels go, by chance."""
        missing = {name: self.get_params(shape[0]) for name, shape in images.items()}
        if not any(any(each) for each in missing.values()):
            return None
        return ModalityDropout(missing, **self.passed_on())

    def get_params(self, channels: int) -> list[bool | None]:
        """`True` for each channel that goes, `None` for one that stays."""
        gone = torch.rand(channels) < self.p_per_channel
        if gone.all():
            gone[torch.randint(channels, ())] = False
        return [True if each else None for each in gone.tolist()]
