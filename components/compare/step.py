"""Is a model better than the one that serves, on what viewers did last? A worse one never becomes a candidate."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.evaluate.step import predict
from components.progress import progress
from interest.bundle import open_bundle
from interest.datasets.samples import Dataset, Split
from interest.errors import InvalidBundle
from interest.evaluation import Figure, auc, bootstrap, log_loss, normalised_entropy
from interest.scoring import Scorer

Floats = NDArray[np.float64]

BETTER, NO_BETTER = "better", "no better"
LEAST_RANDOMISED = 300
"""Randomised impressions from which on they decide alone; below, all do, weighted as if all pages were at random."""


def run(
    dataset: Path,
    model: Path,
    serving: Path,
    report: Path,
    *,
    bootstrap_resamples: int = 400,
    threads: int = 2,
) -> dict[str, Any]:
    """Write `report.json` into the folder `report`; returns the verdict "better" or "no better" and the main figures.

    Both models score the last tenth of the time. Better is who has the lower log loss on pages at random, beyond doubt:
    the interval, from resampling viewers, of the difference is above 0.
    """
    samples, new, old = Dataset.read(dataset), open_bundle(model), open_bundle(serving)
    for bundle in (new, old):
        if bundle.catalogue().video_ids[: len(samples.videos)] != samples.videos:
            raise InvalidBundle(f"model {bundle.digest[:12]} does not know the videos of the dataset in their order")
    rows = samples.rows(Split.TEST)
    weight = samples.targets.full_weight[rows].astype(np.float64)
    engaged, viewer = samples.targets.engaged[rows], samples.targets.viewer[rows]
    with progress("score", 2 * len(rows), unit="impressions") as bar:
        chances = {
            name: predict(Scorer(bundle, threads=threads), samples, rows, bar.advance)
            for name, bundle in (("candidate", new), ("serving", old))
        }
    drawn = samples.targets.randomised[rows]
    slices = {"randomised": np.where(drawn, 1.0, 0.0), "all, weighted": weight, "as shown": np.ones(len(rows))}
    gain = log_loss(chances["serving"], engaged) - log_loss(chances["candidate"], engaged)
    gains = {name: _mean(gain, counts, viewer, bootstrap_resamples) for name, counts in slices.items() if counts.any()}
    deciding = "randomised" if drawn.sum() >= LEAST_RANDOMISED else "all, weighted"
    better = deciding in gains and np.isfinite(gains[deciding].value) and gains[deciding].low > 0
    figures = {
        name: {"auc": auc(chance, engaged), "ne": normalised_entropy(chance, engaged)}
        for name, chance in chances.items()
    }
    reason = f"its log loss on {deciding} impressions is lower by {_told(gains.get(deciding))}"
    content = {
        "model": new.digest,
        "serving": old.digest,
        "verdict": BETTER if better else NO_BETTER,
        "decided_on": deciding,
        "impressions": {"all": len(rows), "randomised": int(drawn.sum())},
        "gain": {name: asdict(figure) for name, figure in gains.items()},
        "slices": {"all": figures["candidate"]},
        "serving_figures": figures["serving"],
    }
    report.mkdir(parents=True, exist_ok=True)
    (report / "report.json").write_text(json.dumps(content, indent=1))
    metrics = {f"{name}_{key}": value for name, many in figures.items() for key, value in many.items()}
    metrics |= {"gain": gains[deciding].value, "gain_low": gains[deciding].low} if deciding in gains else {}
    return {"verdict": content["verdict"], "reasons": reason, "metrics": metrics}


def _mean(gain: Floats, counts: Floats, viewer: NDArray[np.int64], resamples: int) -> Figure:
    """The weighted mean with an interval."""

    def mean(rows: NDArray[np.int64]) -> float:
        return float((gain[rows] * counts[rows]).sum() / max(counts[rows].sum(), 1e-9))

    return bootstrap(mean, viewer, resamples)


def _told(figure: Figure | None) -> str:
    return "nothing that is known" if figure is None else f"{figure.value:.4f} ({figure.low:.4f} to {figure.high:.4f})"
