"""How often viewers engaged where a model predicted so much, with intervals over whole viewers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interest.errors import NotEnoughData
from interest.evaluation import CONFIDENCE

BINS = 10
LEAST_ROWS = 100
RESAMPLES = 400
COLUMNS = 50

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Impressions in bins of equal size by what was predicted: the means `predicted` and `actual` [B] of each,
    `count` [B], and the interval `low` to `high` [B] of `actual`. `histogram` [C] counts all predictions between
    `edges` [C + 1].
    """

    predicted: Floats
    actual: Floats
    low: Floats
    high: Floats
    count: NDArray[np.int64]
    edges: Floats
    histogram: NDArray[np.int64]


def curve(
    chance: Floats, engaged: NDArray[np.bool_], viewer: NDArray[np.int64], *, bins: int = BINS, seed: int = 0
) -> Curve:
    """The curve of N impressions: `chance` [N] predicted, `engaged` [N], `viewer` [N] codes.

    The intervals are percentiles of a bootstrap over viewers, whose impressions are no independent draws. Raises
    NotEnoughData below LEAST_ROWS.
    """
    if len(chance) < LEAST_ROWS:
        raise NotEnoughData(f"{len(chance)} impressions are too few for a calibration curve; it takes {LEAST_ROWS}")
    place = np.empty(len(chance), np.int64)
    for number, rows in enumerate(np.array_split(np.argsort(chance, kind="stable"), bins)):
        place[rows] = number
    _, who = np.unique(viewer, return_inverse=True)
    viewers = int(who.max()) + 1
    cell = who * bins + place
    shape = (viewers, bins)
    shown = np.bincount(cell, minlength=viewers * bins).reshape(shape).astype(np.float64)
    done = np.bincount(cell, engaged, minlength=viewers * bins).reshape(shape)
    rng = np.random.default_rng(seed)
    rates = np.empty((RESAMPLES, bins))
    for row in range(RESAMPLES):
        drawn = np.bincount(rng.integers(0, viewers, viewers), minlength=viewers).astype(np.float64)
        # A bin that none of the drawn viewers is in tells nothing.
        seen = drawn @ shown
        rates[row] = np.divide(drawn @ done, seen, out=np.full(bins, np.nan), where=seen > 0)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(rates, [tail, 100 - tail], axis=0)
    count = shown.sum(0).astype(np.int64)
    histogram, edges = np.histogram(chance, COLUMNS, (0.0, float(max(chance.max(), 0.01))))
    actual = done.sum(0) / count
    # Of a few viewers' draws the rate itself may lie outside.
    return Curve(
        predicted=np.bincount(place, chance) / count, actual=actual, low=np.minimum(low, actual),
        high=np.maximum(high, actual), count=count, edges=edges, histogram=histogram,
    )  # fmt: skip
