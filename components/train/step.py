"""Samples and features to a sealed model bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from components.progress import reporter
from components.runtime import cache_home, scratch, tree_digest
from interest.bundle import seal
from interest.catalog import read_jsonl
from interest.datasets.samples import Dataset
from interest.features.shards import SETTINGS, FeatureSet, Shard
from interest.models.names import MODALITIES, VideoBackbone
from interest.training.bundle import train_bundle
from interest.training.features import FeatureArrays
from interest.training.settings import TrainSettings
from wire.objects import ObjectStore

TENSORS = {"frames": "has_video", "mfcc": "has_audio", "text": "has_text"}


def run(
    dataset: Path,
    video_features: Path,
    audio_features: Path,
    text_features: Path,
    model: Path,
    *,
    seed: int = 0,
    threads: int = 2,
    backbone: str = "cnn3d",
    content_epochs: int = TrainSettings.content_epochs,
    epochs: int = TrainSettings.epochs,
) -> dict[str, str]:
    """Write the bundle folder `model`; returns its digest. Killed and started again, it goes on where it was."""
    samples = Dataset.read(dataset)
    work = scratch()
    folders = (video_features, audio_features, text_features)
    features = load_features(samples.videos, folders, work)
    settings = TrainSettings(
        seed=seed,
        threads=threads,
        backbone=VideoBackbone(backbone),
        content_epochs=content_epochs,
        epochs=epochs,
    )
    about = train_bundle(samples, features, settings, model, checkpoints=work / "checkpoints", report=reporter)
    about["feature_settings"] = dict(zip(MODALITIES, map(_settings, folders), strict=True))
    return {"digest": seal(model, about | {"data": {"dataset": tree_digest(dataset)}})}


def _settings(features: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads((features / SETTINGS).read_text())
    return settings


def load_features(videos: tuple[str, ...], folders: tuple[Path, Path, Path], work: Path) -> FeatureArrays:
    """The three modalities' shards as memory-mapped arrays in the order of `videos`."""
    store, cache = ObjectStore.from_env(), cache_home() / "blobs"
    cache.mkdir(parents=True, exist_ok=True)
    arrays, present = [], []
    for folder, (name, has) in zip(folders, TENSORS.items(), strict=True):
        for shard in read_jsonl(folder / "shards.jsonl", Shard):
            file = cache / f"{shard.blob}.safetensors"
            if not file.exists():
                store.get_blob(shard.blob, file)
        features = FeatureSet(folder, cache)
        arrays.append(features.save(name, videos, work / f"{name}.npy"))
        present.append(features.save(has, videos, work / f"{has}.npy").astype(bool))
    frames, mfcc, text = arrays
    return FeatureArrays(frames, mfcc, text, np.stack(present, axis=1))
