"""Which slice moved: the outcome columns compared within each level of the slice columns, the worst first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec
import numpy as np

from interest.drift.columns import ALPHA, LEAST_DISTANCE, ColumnDrift, cells, judge, measure
from interest.drift.pairs import Ints, Pair, Table, pairs

PARTS = 4
"""Numbers are sliced at the reference table's quartiles."""


class SliceDrift(msgspec.Struct, frozen=True, kw_only=True):
    """An outcome among the rows whose column `by` is `level`."""

    by: str
    level: str
    outcome: ColumnDrift

    @property
    def words(self) -> str:
        """What moved where."""
        return f"where {self.by} is {self.level}: {self.outcome.words}"


def compare(
    reference: Table,
    current: Table,
    by: Sequence[str],
    outcomes: Sequence[str],
    *,
    groups: str | None = None,
    alpha: float = ALPHA,
    least: float = LEAST_DISTANCE,
) -> tuple[SliceDrift, ...]:
    """Every outcome in every slice: drifted ones first, by distance; those with too few rows last.

    `groups`, errors, and `alpha`, for all slices together, as in `columns.compare`.
    """
    slices = pairs(reference, current, by, groups)
    measured = [
        (one.name, level, measure(outcome.where(masks)))
        for outcome in pairs(reference, current, outcomes, groups)
        for one in slices
        if one.name != outcome.name
        for level, masks in _levels(one)
    ]
    judged = judge([outcome for _, _, outcome in measured], alpha, least)
    found = [
        SliceDrift(by=name, level=level, outcome=outcome)
        for (name, level, _), outcome in zip(measured, judged, strict=True)
    ]
    return tuple(sorted(found, key=lambda one: (not one.outcome.drifted, -(one.outcome.distance or -1.0))))


def _levels(pair: Pair) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """Each level with its rows in both tables."""
    placed, names = cells(pair) if pair.names is not None else _parts(pair)
    for number, name in enumerate(names):
        masks = (placed[0] == number, placed[1] == number)
        if masks[0].any() or masks[1].any():
            yield name, masks


def _parts(pair: Pair) -> tuple[tuple[Ints, Ints], list[str]]:
    """Numbers by the quartiles of the reference table; the last part is null."""
    known = np.sort(pair.values[0][~np.isnan(pair.values[0])])
    edges = np.unique(known[np.arange(1, PARTS) * len(known) // PARTS]) if len(known) else known
    placed = [np.where(np.isnan(one), len(edges) + 1, np.searchsorted(edges, one)) for one in pair.values]
    ends = [f"{edge:.4g}" for edge in edges.tolist()]
    names = ["any number"]
    if ends:
        between = [f"over {low} to {high}" for low, high in pairwise(ends)]
        names = [f"up to {ends[0]}", *between, f"over {ends[-1]}"]
    return (placed[0], placed[1]), [*names, "null"]
