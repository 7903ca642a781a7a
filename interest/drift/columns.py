"""What moved in the columns of a table: one test, one distance and one sentence for each.

A column's rows are put into cells: its levels, or for numbers the deciles of both tables together, with null a cell of
its own; `homogeneity` compares the cells. With enough rows any change is significant, so a column has drifted only if
it has also moved far enough: `distance` is the least share of rows that lie elsewhere, the Kolmogorov-Smirnov distance
of numbers (null below all of them), the total variation of levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from interest.drift.homogeneity import LEAST_EXPECTED, Homogeneity, homogeneity
from interest.drift.multiplicity import holm
from interest.drift.pairs import SIDES, Floats, Ints, Pair, Table, pairs

ALPHA = 0.05
LEAST_DISTANCE = 0.05
"""The smallest change that is worth a word: five rows in a hundred; for a normal column, .13 standard deviations."""
LEAST_UNITS = 30
"""Rows (or groups) that each table must have before anything is said."""
DECILES = 10
LEVELS = 20
"""The most frequent levels have a cell each; all others share one."""
MOST_LEVELS = 200
"""With those that are as frequent as the last of them, where they have rows enough."""
OTHERS, NULL = -2, -1
"""Their cells, the last of a column of levels."""
FLAG = frozenset({"false", "true"})
SHIFTED = 0.1
"""Standard deviations below which a column's mean has stayed."""
SPREAD = 1.1
"""Ratio of standard deviations within which a column's spread has stayed."""


class ColumnDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One column; pairs are of the reference and the current table.

    `distance` in [0, 1]; `shift`: the mean's, in standard deviations of the reference (None for levels, or without
    spread); `p_value` of the test alone, `corrected` for all tests of the family. All None when there is too
    little to tell; then `words` says so.
    """

    name: str
    rows: tuple[int, int]
    nulls: tuple[float, float] = (0.0, 0.0)
    distance: float | None = None
    shift: float | None = None
    p_value: float | None = None
    corrected: float | None = None
    drifted: bool = False
    words: str = ""


def compare(
    reference: Table,
    current: Table,
    names: Sequence[str] | None = None,
    *,
    groups: str | None = None,
    alpha: float = ALPHA,
    least: float = LEAST_DISTANCE,
) -> tuple[ColumnDrift, ...]:
    """Each column of two tables (or dicts of arrays [N]), those that one table lacks included, as null there.

    `groups` names a column: rows that share it are no independent draws. The chance that any column is called drifted
    when none has changed is at most `alpha`. Raises InvalidRecord naming a column that cannot be compared.
    """
    return judge([measure(pair) for pair in pairs(reference, current, names, groups)], alpha, least)


def measure(pair: Pair) -> ColumnDrift:
    """One column alone, not corrected for others and not judged."""
    if few := too_few(pair.units, "rows" if pair.groups is None else "groups"):
        return ColumnDrift(name=pair.name, rows=pair.rows, words=f"{pair.name}: {few}")
    nulls = (float(np.isnan(pair.values[0]).mean()), float(np.isnan(pair.values[1]).mean()))
    return _measure_numbers(pair, nulls) if pair.names is None else _measure_levels(pair, nulls)


def judge(found: Sequence[ColumnDrift], alpha: float, least: float) -> tuple[ColumnDrift, ...]:
    """The same with their p-values corrected, and whether they drifted."""
    corrected = holm([one.p_value for one in found])
    return tuple(
        msgspec.structs.replace(
            one,
            corrected=p,
            drifted=p is not None and p <= alpha and one.distance is not None and one.distance >= least,
        )
        for one, p in zip(found, corrected, strict=True)
    )


def too_few(units: tuple[int, int], what: str, least: int = LEAST_UNITS) -> str:
    """Which table has too few to tell anything; empty when none has."""
    short = [f"{n} {what} in the {side} table" for n, side in zip(units, SIDES, strict=True) if n < least]
    return f"too few: {' and '.join(short)}; {least} are needed" if short else ""


def cells(pair: Pair) -> tuple[tuple[Ints, Ints], list[str]]:
    """The cell of each row of both tables, and what levels the cells stand for: the last two are others and null."""
    names = pair.names or ()
    size = len(names)
    known = np.concatenate([one[~np.isnan(one)] for one in pair.values])
    counts = np.bincount(known.astype(np.int64), minlength=size)
    order = np.argsort(-counts, kind="stable")
    frequent = order[:LEVELS]
    if size > LEVELS:
        # All or none of levels that are as frequent as the first that is left out: which one would hang on the order
        # of the rows. All, when each alone has rows enough to be told from the others.
        limit = counts[order[LEVELS]]
        enough = limit * min(pair.rows) >= LEAST_EXPECTED * sum(pair.rows)
        tied = order[counts[order] >= limit]
        if counts[frequent[-1]] == limit and enough and len(tied) <= MOST_LEVELS:
            frequent = tied
        else:
            frequent = frequent[counts[frequent] > limit]
    place = np.full(size + 1, len(frequent))
    place[frequent] = np.arange(len(frequent))
    place[size] = len(frequent) + 1
    coded = [place[np.where(np.isnan(one), size, one).astype(np.int64)] for one in pair.values]
    return (coded[0], coded[1]), [*(names[level] for level in frequent), "others", "null"]


def _measure_numbers(pair: Pair, nulls: tuple[float, float]) -> ColumnDrift:
    ordered = [np.sort(one) for one in pair.values]  # NaN last
    reference, current = (one[: len(one) - np.isnan(one).sum()] for one in ordered)
    points = np.concatenate([reference, current])
    order = np.argsort(points, kind="stable")  # merges two runs
    points = points[order]
    edges = _edges(points, int(len(points) / sum(pair.rows) * min(pair.units) / LEAST_EXPECTED))
    null = len(edges) + 1
    # Without groups the order of rows does not matter, and sorted ones find their cells sooner.
    values = ordered if pair.groups is None else pair.values
    placed = [np.where(np.isnan(one), null, np.searchsorted(edges, one)) for one in values]
    made = homogeneity((placed[0], placed[1]), null + 1, pair.groups)
    distance = _kolmogorov_smirnov(points, order >= len(reference), pair.rows)
    finite = [one[np.isfinite(one)] for one in (reference, current)]
    shift = None
    words = f"{pair.name} has other values: {distance:.0%} of the rows lie elsewhere"
    if min(map(len, finite)):
        low, high = (float(one.mean()) for one in finite)
        # Rounding gives a constant some spread.
        before, after = (float(one.std()) if one[0] < one[-1] else 0.0 for one in finite)
        shift = (high - low) / before if before > 0 else None
        words = _moved(pair.name, (low, high), (before, after), distance)
    if abs(nulls[1] - nulls[0]) >= distance / 2:
        words = _share(f"nulls of {pair.name}", nulls)
    return _column(pair, nulls, made, distance, shift, words)


def _measure_levels(pair: Pair, nulls: tuple[float, float]) -> ColumnDrift:
    placed, levels = cells(pair)
    made = homogeneity(placed, len(levels), pair.groups)
    if pair.names and len(levels) == len((OTHERS, NULL)) and not any(nulls):
        made = replace(made, p_value=None)  # no level is frequent
    return _column(pair, nulls, made, made.total_variation, None, _moved_level(pair, made, levels))


def _moved_level(pair: Pair, made: Homogeneity, levels: list[str]) -> str:
    """The level whose share moved most; booleans are told by the share that is true."""
    moved = int(np.abs(made.shares[1] - made.shares[0]).argmax())
    inside = np.flatnonzero(made.cell == moved) - len(levels)
    level = int(inside[0]) if len(inside) == 1 else OTHERS
    shares = (float(made.shares[0, moved]), float(made.shares[1, moved]))
    if level == NULL:
        return _share(f"nulls of {pair.name}", shares)
    if level == OTHERS:
        return _share(f"other levels of {pair.name}", shares)
    if FLAG.issuperset(pair.names or ()):
        true = levels.index("true") if "true" in levels else len(levels)
        return _share(pair.name, tuple(float((one == true).mean()) for one in cells(pair)[0]))
    return _share(f"{pair.name} = {levels[level]!r}", shares)


def _kolmogorov_smirnov(points: Floats, current: NDArray[np.bool_], rows: tuple[int, int]) -> float:
    """The largest difference of the two distribution functions, nulls below all points; `current`: whose a point is."""
    so_far = np.cumsum(current)
    nulls = (rows[0] - (len(points) - int(current.sum())), rows[1] - int(current.sum()))
    ends = np.append(points[1:] != points[:-1], True)[: len(points)]
    below = (nulls[1] + so_far[ends]) / rows[1] - (nulls[0] + np.flatnonzero(ends) + 1 - so_far[ends]) / rows[0]
    return max(abs(nulls[1] / rows[1] - nulls[0] / rows[0]), float(np.abs(below).max(initial=0.0)))


def _column(
    pair: Pair, nulls: tuple[float, float], made: Homogeneity, distance: float, shift: float | None, words: str
) -> ColumnDrift:
    if made.p_value is None:
        words = f"{pair.name}: too few rows of any one level to compare them"
        return ColumnDrift(name=pair.name, rows=pair.rows, nulls=nulls, words=words)
    if distance == 0.0:
        words = f"{pair.name} has not moved"
    return ColumnDrift(
        name=pair.name, rows=pair.rows, nulls=nulls, distance=distance, shift=shift, p_value=made.p_value, words=words
    )


def _edges(points: Floats, most: int) -> Floats:
    """Upper ends of the cells of sorted numbers: their deciles, or fewer quantiles where `most` says so.

    A value that holds several of them has a cell of its own.
    """
    if not len(points):
        return points
    parts = min(DECILES, max(2, most))
    quantiles, times = np.unique(points[np.arange(1, parts) * len(points) // parts], return_counts=True)
    return np.unique(np.concatenate([quantiles, np.nextafter(quantiles[times > 1], -np.inf)]))


def _moved(name: str, means: tuple[float, float], spreads: tuple[float, float], distance: float) -> str:
    """How numbers moved: up, down, apart, together, or in another way."""
    change = means[1] - means[0]
    verb = "rose" if change > 0 else "fell"
    told = f"mean {means[0]:.4g} to {means[1]:.4g}"
    if spreads[0] == 0.0:
        return f"{name} {verb}, {told}" if change else f"{name} was one value and spreads now"
    if abs(change) >= SHIFTED * spreads[0]:
        return f"{name} {verb} by {abs(change) / spreads[0]:.2f} standard deviations, {told}"
    ratio = spreads[1] / spreads[0]
    if not 1 / SPREAD <= ratio <= SPREAD:
        how = "wider" if ratio > 1 else "less"
        return f"{name} spreads {how}, standard deviation {spreads[0]:.4g} to {spreads[1]:.4g}"
    return f"{name} changed its shape: {distance:.0%} of the rows lie elsewhere, the mean stays"


def _share(what: str, shares: tuple[float, ...]) -> str:
    return f"{what} {'rose' if shares[1] > shares[0] else 'fell'} from {shares[0]:.1%} to {shares[1]:.1%}"
