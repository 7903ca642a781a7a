"""Observations and the model that serves to a sealed model bundle: all but content learns on."""

from __future__ import annotations

from pathlib import Path

from components.progress import reporter
from components.runtime import scratch, tree_digest
from interest.bundle import open_bundle, seal
from interest.datasets.samples import Dataset
from interest.models.names import VideoBackbone
from interest.training.bundle import tune_bundle
from interest.training.settings import TrainSettings


def run(
    dataset: Path,
    serving: Path,
    model: Path,
    *,
    seed: int = 0,
    threads: int = 2,
    epochs: int = 6,
    rate: float = 1e-3,
) -> dict[str, str]:
    """Write the bundle folder `model`; returns its digest. Killed and started again, it goes on where it was."""
    samples, base = Dataset.read(dataset), open_bundle(serving)
    backbone = VideoBackbone(base.manifest["settings"]["backbone"])
    settings = TrainSettings(seed=seed, threads=threads, backbone=backbone, epochs=epochs, rate=rate)
    about = tune_bundle(samples, base, settings, model, checkpoints=scratch() / "checkpoints", report=reporter)
    return {"digest": seal(model, about | {"data": {"dataset": tree_digest(dataset)}})}
