"""Judge a bundle on the last tenth of the time, by slice, without each modality; and decide whether to publish."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from components.progress import progress
from interest.bundle import open_bundle
from interest.datasets.samples import TRUTH, Dataset, Split
from interest.datasets.windows import before
from interest.evaluation import Figure, Judged, auc, bootstrap, gate, measure, normalised_entropy, popularity, value_of
from interest.models.names import MODALITIES
from interest.scoring import Scorer

BATCH = 128


def run(
    dataset: Path,
    model: Path,
    report: Path,
    *,
    max_targets: int = 12_000,
    bootstrap_resamples: int = 200,
    threads: int = 2,
) -> dict[str, Any]:
    """Write `report.json` into the folder `report`; returns the verdict "publish" or "hold" and the main figures."""
    samples, bundle = Dataset.read(dataset), open_bundle(model)
    rows = _spread(samples.rows(Split.TEST), max_targets)
    fewer = _spread(rows, max_targets // 2)
    work: list[tuple[str, tuple[int, ...], NDArray[np.int64]]] = [("all modalities", (), rows)]
    work += [(f"without {name}", (number,), fewer) for number, name in enumerate(MODALITIES)]
    chances = {}
    with progress("score", sum(len(chosen) for _, _, chosen in work), unit="impressions") as bar:
        for name, drop, chosen in work:
            chances[name] = predict(Scorer(bundle, threads=threads, drop=drop), samples, chosen, bar.advance)
    judged = _judged(samples, rows, chances["all modalities"], _truth(dataset))
    slices = {
        name: measure(judged.take(mask), bootstrap_resamples)
        for name, mask in _slices(samples, rows).items()
        if mask.sum() >= 100
    }
    verdict = gate(slices["all"])
    place = np.searchsorted(rows, fewer)
    cost = {name: _cost(judged.take(place), chances[f"without {name}"], bootstrap_resamples) for name in MODALITIES}
    content = {
        "model": bundle.digest,
        "verdict": "publish" if verdict.publish else "hold",
        "reasons": verdict.reasons,
        "slices": _plain(slices),
        "without": _plain(cost),
    }
    report.mkdir(parents=True, exist_ok=True)
    (report / "report.json").write_text(json.dumps(content, indent=1))
    main = {name: value_of(figure) for name, figure in slices["all"].items()}
    return {"verdict": content["verdict"], "reasons": "; ".join(verdict.reasons), "metrics": main}


def predict(scorer: Scorer, samples: Dataset, rows: NDArray[np.int64], advance: Any = None) -> NDArray[np.float64]:
    """Chance of engaging for target rows, each with its own history, through the serving path."""
    result = np.empty(len(rows))
    for i in range(0, len(rows), BATCH):
        chosen = rows[i : i + BATCH]
        histories, visible, now = before(samples, chosen)
        state = scorer.encode_all(video=histories.video, kind=histories.kind, outcome=histories.outcome, length=visible)
        video, position = samples.targets.video[chosen], samples.targets.position[chosen]
        made = scorer.score(state, now, video[:, None], position[:, None])
        result[i : i + BATCH] = made.probability[:, 0]
        if advance:
            advance(len(chosen))
    return result


def _truth(dataset: Path) -> dict[str, NDArray[np.float64]]:
    return load_file(dataset / TRUTH) if (dataset / TRUTH).exists() else {}


def _judged(
    samples: Dataset,
    rows: NDArray[np.int64],
    chance: NDArray[np.float64],
    truth: dict[str, NDArray[np.float64]],
) -> Judged:
    targets, train = samples.targets, samples.rows(Split.TRAIN)
    baseline = popularity(targets.video[train], targets.position[train], targets.engaged[train])
    return Judged(
        chance=chance,
        engaged=targets.engaged[rows],
        viewer=targets.viewer[rows],
        baseline=baseline(targets.video[rows], targets.position[rows]),
        honest=truth["p_honest"][rows] if truth else None,
        latent=truth["p_latent"][rows] if truth else None,
    )


def _slices(samples: Dataset, rows: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    t = samples.targets
    cold_video, cold_viewer = t.cold_video[rows], t.cold_viewer[rows]
    return {
        "all": np.ones(len(rows), bool),
        "cold videos": cold_video,
        "cold viewers": cold_viewer,
        "warm": ~cold_video & ~cold_viewer,
        "randomised": t.randomised[rows],
    }


def _cost(judged: Judged, without: NDArray[np.float64], resamples: int) -> dict[str, Figure]:
    """What is lost without a modality, resampled in pairs: AUC that falls, normalised entropy that rises."""

    def lost_auc(rows: NDArray[np.int64]) -> float:
        return auc(judged.chance[rows], judged.engaged[rows]) - auc(without[rows], judged.engaged[rows])

    def lost_entropy(rows: NDArray[np.int64]) -> float:
        engaged = judged.engaged[rows]
        return normalised_entropy(without[rows], engaged) - normalised_entropy(judged.chance[rows], engaged)

    measures = {"auc": lost_auc, "ne": lost_entropy}
    return {name: bootstrap(function, judged.viewer, resamples) for name, function in measures.items()}


def _plain(figures: Any) -> Any:
    if isinstance(figures, dict):
        return {name: _plain(value) for name, value in figures.items()}
    return asdict(figures) if isinstance(figures, Figure) else figures


def _spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64)]
