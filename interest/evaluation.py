"""How good predictions are, as a share of what is knowable, with intervals; and the gate before publishing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

CALIBRATION_BINS = 15
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Figure:
    """A value and its bootstrap interval; NaN where it is undefined (one class only)."""

    value: float
    low: float
    high: float


def auc(chance: Floats, engaged: Bools) -> float:
    """Chance that an engaged impression ranks above another: the Mann-Whitney statistic, ties count half."""
    if not 0 < engaged.sum() < len(engaged):
        return float("nan")
    return float(placements(chance, engaged)[engaged].mean())


def placements(chance: Floats, engaged: Bools) -> Floats:
    """Of each impression the share of the other class that it is ranked rightly against, ties half; both have some."""
    _, place, count = np.unique(chance, return_inverse=True, return_counts=True)
    hits = np.bincount(place, engaged)
    misses = count - hits
    below = (np.cumsum(misses) - misses / 2) / misses.sum()
    above = 1 - (np.cumsum(hits) - hits / 2) / hits.sum()
    return np.asarray(np.where(engaged, below[place], above[place]), np.float64)


def areas(chance: Floats, engaged: Bools, viewer: Ints) -> tuple[Floats, Floats, Ints]:
    """AUC within each viewer, how many impressions stand behind it, and whose it is; one class only gives none."""
    order = np.lexsort((chance, viewer))
    chance, hit, owner = chance[order], engaged[order].astype(np.float64), viewer[order]
    new = np.diff(owner, prepend=-1) != 0
    first = np.flatnonzero(new)
    whose = np.cumsum(new) - 1
    tie = np.cumsum(new | (np.diff(chance, prepend=np.nan) != 0)) - 1
    misses = np.cumsum(1 - hit)
    before = misses - (misses - (1 - hit))[first][whose]  # of the viewer, up to and with this row
    end = np.flatnonzero(np.diff(tie, append=-1))
    tied = np.bincount(tie, 1 - hit)
    below = before[end][tie] - tied[tie] / 2
    hits, count = np.bincount(whose, hit), np.bincount(whose).astype(np.float64)
    both = (hits > 0) & (hits < count)
    won = np.bincount(whose, hit * below)
    return won[both] / (hits * (count - hits))[both], count[both], owner[first][both]


def gauc(chance: Floats, engaged: Bools, viewer: Ints) -> float:
    """AUC within each viewer, weighted by impressions (Zhou et al. 2018); viewers with one class do not count."""
    inside, weight, _ = areas(chance, engaged, viewer)
    return float(np.average(inside, weights=weight)) if len(inside) else float("nan")


def log_loss(chance: Floats, engaged: Bools) -> Floats:
    """Negative log-likelihood of each outcome, same shape."""
    p = np.clip(chance, 1e-9, 1 - 1e-9)
    return np.asarray(-np.where(engaged, np.log(p), np.log1p(-p)))


def normalised_entropy(chance: Floats, engaged: Bools) -> float:
    """Log loss over that of always predicting the mean (He et al. 2014); 1 knows nothing, lower is better."""
    rate = engaged.mean()
    if rate in (0.0, 1.0):
        return float("nan")
    return float(log_loss(chance, engaged).mean() / -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate)))


def expected_calibration_error(chance: Floats, engaged: Bools) -> float:
    """Mean distance of predicted from actual rate over bins of equal size (Naeini et al. 2015)."""
    bins = np.array_split(np.argsort(chance, kind="stable"), CALIBRATION_BINS)
    gaps = [abs(chance[rows].mean() - engaged[rows].mean()) * len(rows) for rows in bins if len(rows)]
    return float(sum(gaps) / len(chance))


def predicted_over_actual(chance: Floats, engaged: Bools) -> float:
    """Sum of predictions over the number of engagements; 1 is right on the whole."""
    return float(chance.sum() / engaged.sum()) if engaged.any() else float("nan")


def share(value: float, ceiling: float, nothing: float) -> float:
    """How much of what is knowable was reached: 0 at `nothing`, 1 at the ceiling."""
    return (value - nothing) / (ceiling - nothing) if ceiling != nothing else float("nan")


def popularity(video: Ints, position: Ints, engaged: Bools, prior: float = 20.0) -> Callable[[Ints, Ints], Floats]:
    """The baseline to beat: each video's smoothed engagement rate in training, times the position's lift."""
    rate = engaged.mean() if len(engaged) else 0.5
    size = int(max(video.max(initial=0), 0)) + 1
    shown = np.bincount(video, minlength=size)
    rates = (np.bincount(video, engaged, minlength=size) + prior * rate) / (shown + prior)
    places = np.bincount(position)
    lift = (np.bincount(position, engaged) + prior * rate) / ((places + prior) * max(rate, 1e-9))

    def predict(video: Ints, position: Ints) -> Floats:
        base = np.where(video < size, rates[np.minimum(video, size - 1)], rate)
        known = np.minimum(position, len(lift) - 1)
        return np.clip(base * lift[known], 1e-6, 1 - 1e-6)

    return predict


def bootstrap(measure: Callable[[Ints], float], groups: Ints, resamples: int, seed: int = 0) -> Figure:
    """A figure over rows, with a percentile interval from resampling whole groups (viewers), not rows.

    `measure(rows)` is called with row numbers, some of them repeated.
    """
    order = np.argsort(groups, kind="stable")
    bounds = np.flatnonzero(np.diff(groups[order], prepend=-1, append=-1))
    members = np.split(order, bounds[1:-1])
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        drawn = rng.integers(0, len(members), len(members))
        values.append(measure(np.concatenate([members[i] for i in drawn])))
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(values, [tail, 100 - tail]) if values else (float("nan"),) * 2
    return Figure(measure(np.arange(len(groups))), float(low), float(high))


@dataclass(frozen=True)
class Judged:
    """Predictions of one slice beside outcomes, and the ceilings' where a simulated world knows them."""

    chance: Floats
    engaged: Bools
    viewer: Ints
    baseline: Floats
    honest: Floats | None = None
    latent: Floats | None = None

    def take(self, rows: NDArray[np.integer] | Bools) -> Judged:
        """The same for some of the rows."""
        return Judged(
            *(None if column is None else column[rows] for column in vars(self).values())  # type: ignore[arg-type]
        )

    def __len__(self) -> int:
        return len(self.engaged)


def measure(judged: Judged, resamples: int = 200) -> dict[str, Figure | float]:
    """Every figure of one slice: quality with intervals, calibration, the baseline, shares of the ceiling."""
    figures: dict[str, Figure | float] = {
        "impressions": float(len(judged)),
        "engaged": float(judged.engaged.mean()) if len(judged) else float("nan"),
        "gauc": gauc(judged.chance, judged.engaged, judged.viewer),
        "baseline_auc": auc(judged.baseline, judged.engaged),
        "baseline_ne": normalised_entropy(judged.baseline, judged.engaged),
    }
    measures: dict[str, Callable[[Judged], float]] = {
        "auc": lambda j: auc(j.chance, j.engaged),
        "ne": lambda j: normalised_entropy(j.chance, j.engaged),
        "ece": lambda j: expected_calibration_error(j.chance, j.engaged),
        "predicted_over_actual": lambda j: predicted_over_actual(j.chance, j.engaged),
    }
    if judged.honest is not None and judged.latent is not None:
        figures["honest_auc"] = auc(judged.honest, judged.engaged)
        figures["honest_ne"] = normalised_entropy(judged.honest, judged.engaged)
        figures["latent_auc"] = auc(judged.latent, judged.engaged)
        measures["share_auc"] = _share_auc
        measures["share_ne"] = _share_ne
    for name, function in measures.items():
        figures[name] = bootstrap(lambda rows, f=function: f(judged.take(rows)), judged.viewer, resamples)  # type: ignore[misc]
    return figures


def _share_auc(judged: Judged) -> float:
    assert judged.honest is not None  # noqa: S101
    return share(auc(judged.chance, judged.engaged), auc(judged.honest, judged.engaged), 0.5)


def _share_ne(judged: Judged) -> float:
    assert judged.honest is not None  # noqa: S101
    ne = normalised_entropy
    return share(ne(judged.chance, judged.engaged), ne(judged.honest, judged.engaged), 1.0)


@dataclass(frozen=True)
class Verdict:
    """Whether a model may be published, and in words why not."""

    publish: bool
    reasons: tuple[str, ...]


def gate(figures: Mapping[str, Figure | float], *, max_ece: float = 0.03, max_bias: float = 0.1) -> Verdict:
    """A model must beat popularity in both AUC and entropy, and be calibrated, or it is held back."""
    auc_, ne, ece, bias = (value_of(figures[name]) for name in ("auc", "ne", "ece", "predicted_over_actual"))
    base_auc, base_ne = value_of(figures["baseline_auc"]), value_of(figures["baseline_ne"])
    checks = (
        (auc_ > base_auc, f"AUC {auc_:.4f} does not beat popularity's {base_auc:.4f}"),
        (ne < base_ne, f"normalised entropy {ne:.4f} does not beat popularity's {base_ne:.4f}"),
        (ece <= max_ece, f"calibration error {ece:.4f} is above {max_ece}"),
        (abs(bias - 1) <= max_bias, f"predicted/actual {bias:.3f} is further than {max_bias} from 1"),
    )
    reasons = tuple(reason for passed, reason in checks if not passed)
    return Verdict(not reasons, reasons)


def value_of(figure: Figure | float) -> float:
    """The value of a figure, with or without an interval."""
    return figure.value if isinstance(figure, Figure) else figure
