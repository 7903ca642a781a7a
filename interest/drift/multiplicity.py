"""Many tests, one promise: the chance that any of them calls a change where there is none stays below alpha."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values corrected for their number, in the same order; None, a test that could not be made, counts as none.

    Holm ("A simple sequentially rejective multiple test procedure", 1979): whatever the dependence of the tests, the
    chance of one or more false rejections among all that are below alpha is at most alpha. Not Benjamini and
    Hochberg's: that bounds the share of false ones among those called, while a verdict is wrong with a single one.
    """
    there = [at for at, p in enumerate(p_values) if p is not None]
    values = np.array([p_values[at] for at in there], np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected: list[float | None] = [None] * len(p_values)
    for place, p in zip(order.tolist(), np.minimum(stepped, 1.0).tolist(), strict=True):
        corrected[there[place]] = p
    return corrected
