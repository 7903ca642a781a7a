"""What the arms differ by, from one outcome a viewer and window, and how sure that is at any moment.

Each outcome Y gives phi = (Y - m) (A / pi - (1 - A) / (1 - pi)): A whether the viewer is in the candidate's arm, pi the
chance of that, m what was to be expected without knowing A. Its mean is the effect, whatever m is (augmented inverse
propensity weighting, Robins, Rotnitzky, Zhao 1994); a good m makes it narrow.

- m = a + b * baseline, the baseline being what the stable model thought of the viewer's first request, before any arm
  could touch it. a and b are fitted on the viewers of the other half (by the parity of their keys) up to this window:
  the sequential cross-fitting of Waudby-Smith et al. (confidence.py).
- A viewer stays in an arm, so what they do in two windows tells less than what two viewers do: the variance is that of
  whole viewers' sums, not of outcomes. A sum's correlation between two moments is then at least that of a Brownian
  motion with the same variances, so that it crosses the boundary no more often (Slepian 1962).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from interest.experiments.confidence import boundary, precision_for

Floats = NDArray[np.float64]
Keys = NDArray[np.uint64]

LEAST_VIEWERS = 200
"""Viewers that each arm must have before anything is said: the interval is an asymptotic one."""
AHEAD = 10.0
"""The interval is narrowest when there is this many times the variance that the first look had."""


@dataclass(frozen=True)
class ViewerWindow:
    """What came of n viewers within one window.

    `viewer` [n] keys, none twice; `candidate` [n] the arm; `propensity` [n] the chance of the candidate's arm;
    `baseline` [n], NaN if unknown; `outcomes` [n, M], NaN where a viewer has none.
    """

    viewer: Keys
    candidate: NDArray[np.bool_]
    propensity: Floats
    baseline: Floats
    outcomes: Floats


@dataclass(frozen=True)
class Estimate:
    """Candidate minus stable, for one outcome: `effect` lies in [lower, upper] at all looks with 1 - alpha.

    `stable` and `candidate` are the arms' means. None: before there are enough viewers.
    """

    effect: float | None = None
    lower: float | None = None
    upper: float | None = None
    stable: float | None = None
    candidate: float | None = None


@dataclass
class _Fit:
    """Least squares of the outcomes on the baseline, for one half of the viewers: sums [M]."""

    n: Floats
    x: Floats
    y: Floats
    xx: Floats
    xy: Floats

    @staticmethod
    def empty(metrics: int) -> _Fit:
        return _Fit(*(np.zeros(metrics) for _ in range(5)))

    def add(self, baseline: Floats, outcomes: Floats) -> None:
        there = ~np.isnan(outcomes)
        x = np.where(there, baseline[:, None], 0.0)
        y = np.where(there, outcomes, 0.0)
        self.n += there.sum(0)
        self.x += x.sum(0)
        self.y += y.sum(0)
        self.xx += (x * x).sum(0)
        self.xy += (x * y).sum(0)

    def expect(self, baseline: Floats) -> Floats:
        """m [n, M]."""
        n = np.maximum(self.n, 1.0)
        spread = self.xx - self.x**2 / n
        slope = np.where(spread > 1e-9, (self.xy - self.x * self.y / n) / np.maximum(spread, 1e-9), 0.0)
        return np.asarray((self.y - slope * self.x) / n + baseline[:, None] * slope)


@dataclass
class Panel:
    """All viewers of an experiment and their sums; windows are added in order, each once. `metrics` = M."""

    metrics: int
    alpha: float
    arms: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))
    windows: int = 0

    def __post_init__(self) -> None:
        self._keys, self._rows = np.empty(0, np.uint64), np.empty(0, np.int64)
        self._base = np.empty(1024)
        self._sums, self._counts = np.zeros((1024, self.metrics)), np.zeros((1024, self.metrics))
        self._fits = (_Fit.empty(self.metrics), _Fit.empty(self.metrics))
        # Of all viewers: sum of S^2, of S n, of n^2, of S, of n.
        self._moments = np.zeros((5, self.metrics))
        self._weighted = np.zeros((2, 2, self.metrics))
        self._precision = np.zeros(self.metrics)

    @property
    def viewers(self) -> int:
        """Viewers so far."""
        return len(self._keys)

    def add(self, window: ViewerWindow) -> None:
        """Take the next window in."""
        self.windows += 1
        if not len(window.viewer):
            return
        rows = self._rows_of(window)
        baseline = self._base[rows]
        half = (window.viewer & np.uint64(1)).astype(bool)
        for parity, fit in enumerate(self._fits):
            mine = half == bool(parity)
            fit.add(baseline[mine], window.outcomes[mine])
        expected = np.where(half[:, None], self._fits[0].expect(baseline), self._fits[1].expect(baseline))
        there = ~np.isnan(window.outcomes)
        arm, chance = window.candidate[:, None], window.propensity[:, None]
        weight = np.where(arm, 1.0 / chance, -1.0 / (1.0 - chance))
        phi = np.where(there, (window.outcomes - expected) * weight, 0.0)
        self._move(rows, phi, there.astype(float))
        self._note_means(window, there, np.abs(weight))
        if not self._precision.all():
            self._fix_precision()

    def estimate(self, metric: int, alpha: float | None = None) -> Estimate:
        """The difference of the arms in one outcome, the interval at level `alpha` (the panel's when not given)."""
        stable, candidate = (self._mean(arm, metric) for arm in (0, 1))
        squares, mixed, counts2, total, n = self._moments[:, metric]
        if n == 0 or self._precision[metric] == 0:
            return Estimate(stable=stable, candidate=candidate)
        level = self.alpha if alpha is None else alpha
        effect = float(total / n)
        variance = max(squares - 2 * effect * mixed + effect**2 * counts2, 0.0)
        radius = boundary(float(variance), level, float(self._precision[metric])) / float(n)
        return Estimate(effect, effect - radius, effect + radius, stable, candidate)

    def _rows_of(self, window: ViewerWindow) -> NDArray[np.int64]:
        """The viewers' rows; new ones get the next, with their baseline and arm."""
        at = np.searchsorted(self._keys, window.viewer)
        known = np.zeros(len(at), bool)
        inside = at < len(self._keys)
        known[inside] = self._keys[at[inside]] == window.viewer[inside]
        rows = np.empty(len(at), np.int64)
        rows[known] = self._rows[at[known]]
        new = ~known
        if new.any():
            first = len(self._keys)
            rows[new] = np.arange(first, first + int(new.sum()))
            self._grow(first + int(new.sum()))
            base = window.baseline[new]
            self._base[rows[new]] = np.where(np.isnan(base), 0.0, base)
            order = np.argsort(window.viewer[new], kind="stable")
            places = at[new][order]
            self._keys = np.insert(self._keys, places, window.viewer[new][order])
            self._rows = np.insert(self._rows, places, rows[new][order])
            arms = window.candidate[new]
            self.arms += np.array([(~arms).sum(), arms.sum()])
        return rows

    def _grow(self, viewers: int) -> None:
        if viewers > len(self._base):
            more = max(viewers, 2 * len(self._base)) - len(self._base)
            self._base = np.append(self._base, np.empty(more))
            self._sums = np.append(self._sums, np.zeros((more, self.metrics)), 0)
            self._counts = np.append(self._counts, np.zeros((more, self.metrics)), 0)

    def _move(self, rows: NDArray[np.int64], phi: Floats, count: Floats) -> None:
        """Bring the viewers' sums and the moments of all viewers up to date."""
        before, n_before = self._sums[rows], self._counts[rows]
        after, n_after = before + phi, n_before + count
        self._sums[rows], self._counts[rows] = after, n_after
        self._moments += np.stack(
            [
                (after**2 - before**2).sum(0),
                (after * n_after - before * n_before).sum(0),
                (n_after**2 - n_before**2).sum(0),
                phi.sum(0),
                count.sum(0),
            ]
        )

    def _note_means(self, window: ViewerWindow, there: NDArray[np.bool_], weight: Floats) -> None:
        values = np.where(there, window.outcomes, 0.0)
        for arm in (0, 1):
            mine = window.candidate == bool(arm)
            held = np.where(there, weight, 0.0)[mine]
            self._weighted[arm, 0] += (held * values[mine]).sum(0)
            self._weighted[arm, 1] += held.sum(0)

    def _mean(self, arm: int, metric: int) -> float | None:
        value, weight = self._weighted[arm, :, metric]
        return float(value / weight) if weight else None

    def _fix_precision(self) -> None:
        """Once each arm has enough viewers, the mixture's precision is fixed for good."""
        if self.arms.min() < LEAST_VIEWERS:
            return
        squares, mixed, counts2, total, n = self._moments
        effect = total / np.maximum(n, 1.0)
        variance = squares - 2 * effect * mixed + effect**2 * counts2
        found = np.array([precision_for(AHEAD * max(one, 1e-12), self.alpha) for one in variance])
        self._precision = np.where((self._precision == 0) & (n > 0), found, self._precision)
