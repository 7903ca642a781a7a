"""Whether two samples of labels come from one distribution, also when rows come in groups (those of one viewer).

Pearson's chi-square test of homogeneity. With groups its null distribution is a weighted sum of chi-squares; the
weights come from the variance of whole groups' counts, and Satterthwaite's approximation with an F reference stands
for the sum: the second-order correction of Rao and Scott ("On chi-squared tests for multiway contingency tables with
cell proportions estimated from survey data", Annals of Statistics 1984), with F as Thomas and Rao (1987) propose.
A group that has rows in both samples is one group: what it adds to the difference is one draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, fdtrc

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_EXPECTED = 5.0
"""Rows (or groups) that a label is expected to have in the smaller sample; rarer ones are counted together."""
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
    if groups is None:
        cell = _cells(rows, rows.sum(1))
    else:
        count = 1 + max(int(one.max()) for one in groups)
        table = np.stack([_crossed(*pair, count, size) for pair in zip(groups, labels, strict=True)])
        cell = _cells((table > 0).sum(1).astype(np.float64), (table.sum(2) > 0).sum(1).astype(np.float64))
    cells = int(cell.max()) + 1
    into = (cell[:, None] == np.arange(cells)).astype(np.float64)
    rows = rows @ into
    shares = rows / rows.sum(1, keepdims=True)
    if cells == 1:
        return Homogeneity(1.0 if int((cell >= 0).sum()) == 1 else None, shares, cell)
    pooled = rows.sum(0) / rows.sum()
    scale = 1.0 / (1.0 / rows.sum(1)).sum()
    statistic = float(scale * ((shares[1] - shares[0]) ** 2 / pooled).sum())
    if groups is None:
        return Homogeneity(float(chdtrc(cells - 1, statistic)), shares, cell)
    return Homogeneity(_grouped(statistic, table @ into, shares, scale, pooled), shares, cell)


def _grouped(statistic: float, table: Floats, shares: Floats, scale: float, pooled: Floats) -> float:
    """The p-value of the statistic from what each group adds to the difference of shares; `table` [2, G, C]."""
    sizes = table.sum(2)
    there = sizes.sum(0) > 0
    added = (table - sizes[:, :, None] * shares[:, None, :])[:, there] / sizes.sum(1)[:, None, None]
    difference = added[1] - added[0]
    count = len(difference)
    weights = scale * count / (count - 1) * (difference.T @ difference) / np.sqrt(np.outer(pooled, pooled))
    total, squares = float(np.trace(weights)), float((weights**2).sum())
    if total < NO_VARIANCE:
        return 1.0 if statistic < NO_VARIANCE else 0.0
    freedom = total**2 / squares
    return float(fdtrc(freedom, freedom * (count - 1), statistic / total))


def _crossed(groups: Ints, labels: Ints, count: int, size: int) -> Floats:
    """Rows by group and label, [G, L]."""
    return np.bincount(groups * size + labels, minlength=count * size).reshape(count, size).astype(np.float64)


def _cells(held: Floats, units: Floats) -> Ints:
    """The cell of each label: its own, or the last one, where rare ones are counted together.

    `held` [2, L]: the units (rows or groups) that have the label; `units` [2]: all there are.
    """
    total = held.sum(0)
    least = LEAST_EXPECTED * units.sum() / units.min()
    present = total > 0
    rare = present & (total < least)
    common = np.flatnonzero(present & ~rare)
    if rare.any() and total[rare].sum() < least and len(common):
        rare[common[total[common].argmin()]] = True
        common = np.flatnonzero(present & ~rare)
    cell = np.full(len(total), -1, np.int64)
    cell[common] = np.arange(len(common))
    cell[rare] = len(common)
    return cell
