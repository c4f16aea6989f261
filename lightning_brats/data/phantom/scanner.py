"""From signal to a stored volume: the scanner's faults, and the skull stripped off.

Shapes: `C` contrasts, `X Y Z` voxels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
from scipy import ndimage

from lightning_brats.data.phantom.fields import Grid, smooth_field
from lightning_brats.errors import ConfigError


@dataclass(frozen=True)
class Scanner:
    """How well a scanner measures; a study shifts a cohort by changing one of these.

    Args:
        noise: Multiplies the Rician noise (Gudbjartsson and Patz, 1995), 3 % of the signal at 1.
        bias: Multiplies the log of the receive field, about ±15 % at 1.
        contrast: Multiplies the differences between tissues.
        resolution: Thickness of a slice in mm.
        motion: Standard deviation in mm of head movement between phase-encoding lines.
    """

    noise: float = 1.0
    bias: float = 1.0
    contrast: float = 1.0
    resolution: float = 1.0
    motion: float = 0.0

    @classmethod
    def of(cls, values: Scanner | Mapping[str, float]) -> Scanner:
        """A scanner from its fields, as a configuration file gives them.

        Raises:
            ConfigError: A field does not exist, or a value is negative.
        """
        values = asdict(values) if isinstance(values, Scanner) else values
        known = [field.name for field in fields(cls)]
        bad = [key for key, value in values.items() if key not in known or value < 0]
        if bad:
            raise ConfigError(
                f"the phantom's scanner cannot have {bad[0]}={values[bad[0]]}",
                remedy=f"choose from {', '.join(known)}; none is negative",
            )
        return cls(**{key: float(value) for key, value in values.items()})

    def changed(self, values: Mapping[str, float]) -> Scanner:
        """The same scanner but for some fields.

        Raises:
            ConfigError: A field does not exist, or a value is negative.
        """
        return Scanner.of({**asdict(self), **values})


STANDARD = Scanner()


def acquire(
    signals: Iterable[np.ndarray],
    grid: Grid,
    brain: np.ndarray,
    seed: Sequence[int],
    scanner: Scanner,
) -> np.ndarray:
    """Measure.

    Args:
        signals: C volumes (X, Y, Z) float32, 1 for bright tissue.
        grid: Their voxels.
        brain: (X, Y, Z) bool.
        seed: Of the examination.
        scanner: What measures.

    Returns:
        (C, X, Y, Z) int16: exactly 0 outside the brain, at least 1 inside.
    """
    rng = np.random.default_rng(seed)
    return np.stack([_measure(signal, grid, brain, rng, scanner) for signal in signals])


def _measure(
    signal: np.ndarray, grid: Grid, brain: np.ndarray, rng: np.random.Generator, scanner: Scanner
) -> np.ndarray:
    volume = signal * np.exp(0.12 * scanner.bias * smooth_field(grid, 75, rng))
    if scanner.motion:
        volume = _move(volume, scanner.motion / grid.spacing, rng)
    sigma = np.float32(0.03 * scanner.noise)
    volume += sigma * rng.standard_normal(volume.shape, np.float32)
    volume = np.hypot(volume, sigma * rng.standard_normal(volume.shape, np.float32))
    blur = np.array((0.35, 0.35, 0.42 * scanner.resolution)) / grid.spacing
    volume = ndimage.gaussian_filter(volume, blur)
    gain = math.exp(rng.uniform(math.log(250), math.log(1400)))
    return np.where(brain, np.clip(np.rint(gain * volume), 1, 32767), 0).astype(np.int16)


def _move(volume: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Shift the head along the phase-encoding axis, by steps in voxels between groups of lines."""
    lines = volume.shape[1]
    steps = rng.normal(0, deviation, 12)
    shift = np.repeat(steps, -(-lines // len(steps)))[:lines]
    frequency = np.fft.fftfreq(lines)
    shift[np.abs(frequency) < 0.04] = 0  # the middle of k-space sets where the head is
    phase = np.exp(-2j * np.pi * frequency * shift).astype(np.complex64)
    spectrum = np.fft.fft(volume, axis=1) * phase[:, None]
    return np.abs(np.fft.ifft(spectrum, axis=1)).astype(np.float32)
