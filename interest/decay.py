"""Whether a model still keeps what it promises, from its own probabilities and what came of them, at any moment.

A calibrated probability p promises two things about the outcome y: that y - p is 0 on average, and that the log loss is
the entropy of p on average (the two sides of Spiegelhalter's test, 1986). Neither needs labels of another time to
compare with, and what the viewers are like does not matter. Both are watched by confidence sequences of whole viewers
(confidence.py), each with half of alpha, so that one may look as often as one likes; a model has decayed when it is
sure that one of them is off by more than its margin.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from interest.evaluation import normalised_entropy, predicted_over_actual
from interest.experiments.confidence import boundary, precision_for

ALPHA = 0.01
BIAS_MARGIN = 0.1
"""Actual engagement may be off the predicted by this share; what the gate before publishing allows."""
LOSS_MARGIN = 0.02
"""The log loss may exceed the promised one by this share of the entropy of always predicting the mean."""
LEAST_VIEWERS = 100
AHEAD = 10.0
"""The intervals are narrowest when there is this many times the variance of the first LEAST_VIEWERS viewers."""
LEAST_ROWS = 100
"""A change has so many rows on either side; of fewer, one rare outcome would look like one."""

Floats = NDArray[np.float64]


class Interval(msgspec.Struct, frozen=True):
    """A value that lies within, at all looks together with the stated chance."""

    value: float
    lower: float
    upper: float


class Decay(msgspec.Struct, frozen=True, kw_only=True):
    """How a model does. `bias`: actual over predicted engagement, less 1; `excess`: log loss above the promised one, as
    a share of what always predicting the mean costs. `since`: row at which the change most likely began, 0 when it
    was so all along; None when nothing has decayed. `reasons` says in words what has.
    """

    impressions: int = 0
    viewers: int = 0
    ne: float | None = None
    predicted_over_actual: float | None = None
    bias: Interval | None = None
    excess: Interval | None = None
    decayed: bool = False
    since: int | None = None
    reasons: tuple[str, ...] = ()


def decay(
    chance: Floats,
    engaged: NDArray[np.bool_],
    viewer: NDArray[np.int64],
    *,
    alpha: float = ALPHA,
    bias_margin: float = BIAS_MARGIN,
    loss_margin: float = LOSS_MARGIN,
) -> Decay:
    """The verdict on N impressions in order of time: `chance` [N] predicted, `engaged` [N], `viewer` [N] codes.

    Below LEAST_VIEWERS viewers nothing is said.
    """
    chance = np.clip(chance, 1e-6, 1 - 1e-6)
    _, first, viewer = np.unique(viewer, return_index=True, return_inverse=True)
    if len(first) < LEAST_VIEWERS:
        return Decay(impressions=len(chance), viewers=len(first))
    surprise = engaged - chance
    excess = -surprise * np.log(chance / (1 - chance))
    early = np.arange(len(chance)) <= np.sort(first)[LEAST_VIEWERS - 1]
    mean, rate = float(chance.mean()), float(engaged.mean())
    entropy = -(mean * np.log(mean) + (1 - mean) * np.log(1 - mean))
    bias_by, excess_by = (
        _interval(values / scale, viewer, early, alpha / 2) for values, scale in ((surprise, mean), (excess, entropy))
    )
    reasons = []
    if bias_by.lower > bias_margin or bias_by.upper < -bias_margin:
        reasons.append(
            f"viewers engage {abs(bias_by.value):.0%} {'more' if bias_by.value > 0 else 'less'} than predicted"
        )
    if excess_by.lower > loss_margin:
        reasons.append(f"the log loss is {excess_by.value:.1%} of the mean's above what the model promises")
    return Decay(
        impressions=len(chance),
        viewers=len(first),
        ne=normalised_entropy(chance, engaged) if 0 < rate < 1 else None,
        predicted_over_actual=predicted_over_actual(chance, engaged) if rate > 0 else None,
        bias=bias_by,
        excess=excess_by,
        decayed=bool(reasons),
        since=change(np.stack([surprise, excess])) if reasons else None,
        reasons=tuple(reasons),
    )


def change(series: Floats) -> int:
    """Where the means of K series [K, N] most likely changed, all at once: the row from which on the new ones hold.

    The split at which the means before and after differ most for their noise (CUSUM, Page 1954; Hawkins 1977). 0 when
    they differ by no more than noise does somewhere (Bonferroni over the splits): then it was so from the beginning.
    """
    count = series.shape[1]
    before = np.arange(LEAST_ROWS, count - LEAST_ROWS + 1)
    if not len(before):
        return 0
    centred = series - series.mean(1, keepdims=True)
    spread = np.maximum(centred.std(1, keepdims=True), 1e-12)
    sums = np.cumsum(centred / spread, 1)[:, before - 1]
    strength = sums**2 * count / (before * (count - before))
    split = int(np.argmax(strength.sum(0)))
    if strength[:, split].max() < 2 * np.log(strength.size / ALPHA):
        return 0
    return int(before[split])


def _interval(values: Floats, viewer: NDArray[np.int64], early: NDArray[np.bool_], alpha: float) -> Interval:
    """Mean of `values`, with the variance of whole viewers' sums; the boundary's shape is fixed by the `early` rows."""
    variance, mean, count = _variance(values, viewer)
    first, _, _ = _variance(values[early], viewer[early])
    radius = boundary(variance, alpha, precision_for(AHEAD * max(first, 1e-9), alpha)) / count
    return Interval(mean, mean - radius, mean + radius)


def _variance(values: Floats, viewer: NDArray[np.int64]) -> tuple[float, float, int]:
    """(variance of the sum, mean, rows)."""
    mean = float(values.mean())
    sums = np.bincount(viewer, values - mean)
    return float((sums**2).sum()), mean, len(values)
