"""Whether two samples of labels come from one distribution, also when rows come in groups (those of one viewer).

Pearson's chi-square test of homogeneity. With groups its null distribution is a weighted sum of chi-squares; the
weights come from the variance of whole groups' counts, and Satterthwaite's approximation with an F reference stands
for the sum: the second-order correction of Rao and Scott ("On chi-squared tests for multiway contingency tables with
cell proportions estimated from survey data", Annals of Statistics 1984), with F as Thomas and Rao (1987) propose.
A group that has rows in both samples is one group: what it adds to the difference is one draw.

Labels too rare for it share a cell; is that too rare as well, as when a small sample is full of what a large one never
had, an exact binomial test of its being more frequent takes its part, half of the level each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc, chdtrc, fdtrc

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_EXPECTED = 5.0
"""Rows (or groups) that a label must be expected to have in the smaller sample (Cochran's rule); others are rare."""
NO_VARIANCE = 1e-12


@dataclass(frozen=True)
class Homogeneity:
    """`p_value`: None when all labels are too rare. `shares` [2, C] of the reference and the current sample in the
    cells that were tested; `cell` [L]: which of them each label fell into, -1 for labels in neither sample.
    """

    p_value: float | None
    shares: Floats
    cell: Ints

    @property
    def total_variation(self) -> float:
        """The least share of rows that would have to change their cell for the samples to agree, in [0, 1]."""
        return float(np.abs(self.shares[1] - self.shares[0]).sum() / 2.0)


def homogeneity(labels: tuple[Ints, Ints], size: int, groups: tuple[Ints, Ints] | None = None) -> Homogeneity:
    """Compare the labels, 0 to `size` - 1, of two samples, neither empty; `groups`, beside them, counts from 0."""
    rows = np.stack([np.bincount(one, minlength=size) for one in labels]).astype(np.float64)
    held, table = rows, None
    if groups is not None:
        count = 1 + max(int(one.max()) for one in groups)
        table = np.stack([_crossed(*pair, count, size) for pair in zip(groups, labels, strict=True)])
        held = (table > 0).sum(1).astype(np.float64)
    units = rows.sum(1) if table is None else (table.sum(2) > 0).sum(1).astype(np.float64)
    cell, exact = _cells(held, units)
    into = (cell[:, None] == np.arange(int(cell.max()) + 1)).astype(np.float64)
    common = into[:, :-1] if exact else into
    p_values = []
    if common.shape[1] > 1:
        p_values.append(_pearson(rows @ common, None if table is None else table @ common))
    if exact:
        p_values.append(_more_than_due(held @ into[:, -1], units, rows.sum(1)))
    if not p_values and int((cell >= 0).sum()) == 1:
        p_values.append(1.0)
    p_value = min(1.0, len(p_values) * min(p_values)) if p_values else None
    rows = rows @ into
    return Homogeneity(p_value, rows / rows.sum(1, keepdims=True), cell)


def _pearson(rows: Floats, table: Floats | None) -> float:
    """The p-value of rows by sample and cell, [2, C]; `table` [2, G, C] is the same group by group."""
    if not rows.sum(1).all():
        return 1.0
    shares = rows / rows.sum(1, keepdims=True)
    pooled = rows.sum(0) / rows.sum()
    scale = 1.0 / (1.0 / rows.sum(1)).sum()
    statistic = float(scale * ((shares[1] - shares[0]) ** 2 / pooled).sum())
    if table is None:
        return float(chdtrc(len(pooled) - 1, statistic))
    sizes = table.sum(2)
    added = (table - sizes[:, :, None] * shares[:, None, :]) / sizes.sum(1)[:, None, None]
    difference = added[1] - added[0]
    effective = min(map(effective_groups, sizes))
    if effective <= 1.0:
        return 1.0
    covariance = effective / (effective - 1.0) * (difference.T @ difference)
    weights = scale * covariance / np.sqrt(np.outer(pooled, pooled))
    total, squares = float(np.trace(weights)), float((weights**2).sum())
    if total < NO_VARIANCE:
        return 1.0 if statistic < NO_VARIANCE else 0.0
    freedom = total**2 / squares
    return float(fdtrc(freedom, effective - 1.0, statistic / total))


def _more_than_due(held: Floats, units: Floats, rows: Floats) -> float:
    """The p-value of a rare cell being too frequent in the smaller sample: of all `held` [2] units that have it, its
    part is binomial, with the sample's share of units, or of rows if that is more. Fewer than due cannot be told.
    """
    small = int(units.argmin())
    chance = max(float(units[small] / units.sum()), float(rows[small] / rows.sum()))
    return float(bdtrc(held[small] - 1.0, int(held.sum()), chance)) if held[small] else 1.0


def effective_groups(sizes: Floats) -> float:
    """How many groups of one size would tell as much as groups of these `sizes` [G] (Kish, "Survey Sampling", 1965)."""
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def _crossed(groups: Ints, labels: Ints, count: int, size: int) -> Floats:
    """Rows by group and label, [G, L]."""
    return np.bincount(groups * size + labels, minlength=count * size).reshape(count, size).astype(np.float64)


def _cells(held: Floats, units: Floats) -> tuple[Ints, bool]:
    """The cell of each label: its own, or the last one, where rare ones are counted together; whether that is rare too.

    `held` [2, L]: the units (rows or groups) that have the label; `units` [2]: all there are. What is rare is told by
    both samples together, so that it says nothing of their difference.
    """
    total = held.sum(0)
    least = LEAST_EXPECTED * units.sum() / units.min()
    rare = (total > 0) & (total < least)
    common = np.flatnonzero(total >= least)
    cell = np.full(len(total), -1, np.int64)
    cell[common] = np.arange(len(common))
    cell[rare] = len(common)
    return cell, bool(rare.any() and total[rare].sum() < least)
