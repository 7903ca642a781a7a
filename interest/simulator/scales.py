"""From a latent coordinate, roughly N(0, 1), to a position on a physical scale."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SPREAD = 1.5
"""The curve's width in standard deviations of a coordinate: slow to saturate, never clipped."""


def squash(signal: NDArray[np.float64]) -> list[float]:
    """Positions in (0, 1), monotone and smooth: the normal distribution function of `signal / SPREAD`."""
    return [0.5 * (1.0 + math.erf(float(x) / (SPREAD * math.sqrt(2.0)))) for x in signal]


def linear(low: float, high: float, position: float) -> float:
    """The value at `position` (0..1) of an even scale from `low` to `high`."""
    return low + (high - low) * position


def geometric(low: float, high: float, position: float) -> float:
    """The value at `position` (0..1) of a scale of even ratios from `low` to `high`, both positive."""
    return float(low * (high / low) ** position)
