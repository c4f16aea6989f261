"""Which steps bring a scanner's own data to what networks see. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lightning_brats.errors import ConfigError

BrainSource = Literal["nonzero", "provided", "extract"]
CHOICES: dict[str, tuple[str | None, ...]] = {
    "register": (None, "rigid"),
    "atlas": (None, "rigid", "affine"),
    "denoise": (None, "gaussian", "median", "nlm"),
    "bias": (None, "n4"),
    "on_poor_registration": ("flag", "error"),
    "brain": (None, "nonzero", "provided", "extract"),
}


@dataclass(frozen=True)
class RawSteps:
    """Steps before cropping and normalising; by default none.

    They run in this order: `denoise` on each scan's own voxels; `register`; brain; `atlas`; one
    interpolation for all of these; `bias` inside the brain.

    Args:
        center: Modality that the others are registered to. Masks of cases that have none are
            written on its grid.
        register: `rigid` moves each modality to `center`, which also makes up for other voxels and
            fields of view. Without it they must share a grid, or scanner coordinates where
            `atlas` or `spacing` resamples them.
        atlas: `rigid` or `affine` brings `center`, and all with it, to the MNI152 template's space.
        denoise: `gaussian` (`strength` is its standard deviation in mm), `median` (radius in
            voxels) or `nlm` (non-local means; its filtering in noise levels).
        strength: Of `denoise`.
        bias: `n4` corrects the bias field inside the brain.
        on_poor_registration: What to do where a registration or the brain extraction cannot be
            trusted: `flag` goes on and says so in the case's warnings, `error` stops.
    """

    center: str = "t1c"
    register: str | None = None
    atlas: str | None = None
    denoise: str | None = None
    strength: float = 1.0
    bias: str | None = None
    on_poor_registration: str = "flag"

    def __post_init__(self) -> None:
        for name in CHOICES.keys() - {"brain"}:
            check_choice(f"raw.{name}", getattr(self, name), CHOICES[name])
        if not self.strength > 0:
            raise ConfigError(
                f"preprocess.raw.strength={self.strength} must be above 0",
                remedy="switch denoising off with preprocess.raw.denoise=null",
            )

    @property
    def moves(self) -> bool:
        """Whether scans leave their own grids."""
        return self.register is not None or self.atlas is not None


def check_choice(name: str, value: str | None, choices: tuple[str | None, ...]) -> None:
    """Raise `ConfigError` where a setting of `preprocess` is none of its choices."""
    if value not in choices:
        known = ", ".join("null" if choice is None else choice for choice in choices)
        raise ConfigError(f"preprocess.{name}={value} is unknown", remedy=f"choose {known}")
