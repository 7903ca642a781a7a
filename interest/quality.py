"""How good a model is, by what came of its own predictions: slice by slice, with intervals from whole viewers.

A viewer's impressions are no independent draws. Each figure is a smooth function of means over viewers, so its variance
is that of the viewers' sums of its influence function (the delta method; for AUC those are the placements of DeLong et
al., Biometrics 1988). One look at one slice is right 19 times in 20; what is to be watched for ever is in `decay`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from interest.decay import Interval
from interest.evaluation import areas, log_loss, placements

Z = 1.96
BINS = 10
LEAST_VIEWERS = 20
"""Below so many viewers a slice has counts and no figures."""
ALL = "all"

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """A slice's figures: `slice` names the column, `level` its value; of everything, they are "all" and "".

    `ne`: log loss over that of always predicting the mean; `predicted_over_actual`: 1 when calibrated on the whole;
    `gauc`: AUC within viewers. None where it is not defined (one class only, too few viewers).
    """

    slice: str = ALL
    level: str = ""
    impressions: int = 0
    viewers: int = 0
    engaged: float | None = None
    ne: Interval | None = None
    predicted_over_actual: Interval | None = None
    auc: Interval | None = None
    gauc: Interval | None = None


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """A point of the calibration curve: what was predicted on average, and the share that engaged."""

    predicted: float
    actual: Interval
    impressions: int


def quality(chance: Floats, engaged: Bools, viewer: Ints, slices: Mapping[str, Sequence[str]]) -> tuple[Quality, ...]:
    """Figures of N impressions, all together and by each level of each slice.

    `chance` [N] predicted, `engaged` [N], `viewer` [N] codes; `slices`: the level of each impression, [N], by name.
    """
    found = [_measure(ALL, "", chance, engaged, viewer)]
    for name, levels in slices.items():
        values, code = np.unique(np.asarray(levels, dtype=str), return_inverse=True)
        for number, level in enumerate(values):
            rows = code == number
            found.append(_measure(name, str(level), chance[rows], engaged[rows], viewer[rows]))
    return tuple(found)


def calibration_curve(chance: Floats, engaged: Bools, viewer: Ints, bins: int = BINS) -> tuple[Bin, ...]:
    """Actual beside predicted engagement in bins of equally many impressions, in order; empty for none."""
    rows = [one for one in np.array_split(np.argsort(chance, kind="stable"), bins) if len(one)]
    return tuple(
        Bin(
            predicted=float(chance[one].mean()),
            actual=_interval(float(engaged[one].mean()), (engaged[one] - engaged[one].mean()) / len(one), viewer[one]),
            impressions=len(one),
        )
        for one in rows
    )


def _measure(name: str, level: str, chance: Floats, engaged: Bools, viewer: Ints) -> Quality:
    count, viewers = len(chance), len(np.unique(viewer))
    counts = Quality(slice=name, level=level, impressions=count, viewers=viewers)
    if viewers < LEAST_VIEWERS:
        return counts
    rate, hits = float(engaged.mean()), float(engaged.sum())
    made = msgspec.structs.replace(counts, engaged=rate)
    if hits in (0.0, float(count)):
        return made
    loss, entropy = log_loss(chance, engaged), float(-(rate * np.log(rate) + (1 - rate) * np.log(1 - rate)))
    ne, ratio = float(loss.mean()) / entropy, float(chance.sum()) / hits
    by_mean = ne * np.log((1 - rate) / rate) / entropy
    above = placements(chance, engaged)
    auc = float(above[engaged].mean())
    inside, weight, owner = areas(chance, engaged, viewer)
    gauc = float(np.average(inside, weights=weight)) if len(inside) else None
    return msgspec.structs.replace(
        made,
        ne=_interval(ne, ((loss - loss.mean()) / entropy - by_mean * (engaged - rate)) / count, viewer),
        predicted_over_actual=_interval(ratio, (chance - ratio * engaged) / hits, viewer),
        auc=_interval(auc, (above - auc) / np.where(engaged, hits, count - hits), viewer),
        gauc=None if gauc is None else _interval(gauc, weight * (inside - gauc) / weight.sum(), owner),
    )


def _interval(value: float, influence: Floats, viewer: Ints) -> Interval:
    """The value with its interval, from what each row adds to it, [N]."""
    _, code = np.unique(viewer, return_inverse=True)
    sums = np.bincount(code, influence)
    error = Z * float(np.sqrt((sums**2).sum() * len(sums) / max(len(sums) - 1, 1)))
    return Interval(float(value), float(value - error), float(value + error))
