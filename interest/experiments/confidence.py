"""Intervals that hold at every look: a boundary that a sum crosses, whenever one looks, with probability alpha.

The normal mixture boundary of Robbins (1970), as Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas ("Time-uniform central
limit theory and asymptotic confidence sequences", Annals of Statistics 2024) use it with an estimated variance.

`ville` has the same boundary, but private, and its A/B test takes a stream of independent viewers with one propensity:
no baseline, no growing share, no viewer who comes again. `tea-tasting` has fixed horizons only.
"""

from __future__ import annotations

import math


def boundary(variance: float, alpha: float, precision: float) -> float:
    """How far from 0 a sum with this accumulated `variance` stays, on both sides, at all times: sqrt(w log(w / r a^2)).

    w = variance + r, r = `precision` of the mixture over drifts, fixed before the first look.
    """
    width = variance + precision
    return math.sqrt(width * math.log(width / (precision * alpha**2)))


def precision_for(variance: float, alpha: float) -> float:
    """The precision by which the boundary is narrowest when so much variance has come together (eq. 56 there)."""
    twice = -2.0 * math.log(alpha)
    return variance / (twice + math.log(twice + 1.0))
