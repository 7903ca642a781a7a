"""The whole training run, from samples and features to an unsealed bundle folder."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from interest.bundle import Bundle, CatalogueTable, ViewerTable, write_catalogue, write_viewers
from interest.datasets.samples import Dataset
from interest.errors import InvalidBundle
from interest.export import export_fusion, export_graphs
from interest.history import log_length
from interest.models.content_model import ContentEncoders
from interest.models.fusion_predictor import FusionPredictor
from interest.models.names import MODALITIES, TERMS
from interest.training.collaborative import train_collaborative
from interest.training.content import encode, train_content
from interest.training.features import FeatureArrays
from interest.training.fit import Stage
from interest.training.fusion import Content, FixedContent, train_fusion, tune_fusion
from interest.training.settings import TrainSettings

UNCHANGED = ("catalogue.safetensors", "catalogue.json", "viewers.safetensors", "viewers.json")
"""Files of a bundle that a model trained on from it has too, beside the graphs that make content."""
Reporter = Callable[[str, str], Callable[[int, int], None]]
"""Given (label, unit), a callback (done, total)."""


def train_bundle(
    dataset: Dataset,
    features: FeatureArrays,
    settings: TrainSettings,
    folder: Path,
    *,
    checkpoints: Path | None = None,
    report: Reporter | None = None,
) -> dict[str, Any]:
    """Train both stages, write graphs, weights and catalogue into `folder`; returns what the manifest should say.

    With `checkpoints`, a run that was killed goes on where its last finished epoch left it, to the same result.
    """
    _be_deterministic(settings)
    tell = report or _silent
    log = train_collaborative(dataset, settings, tell("factorise the log", "steps"))

    def stage(name: str, epochs: int) -> Stage:
        progress = tell(name.replace("_", " "), "batches")
        return Stage(name, settings.seed, epochs, settings.patience, checkpoints, progress)

    encoders = train_content(dataset, features, log, settings, stage)
    embeddings = encode(encoders, features, np.arange(len(features)))
    content = Content.of(dataset, embeddings, features.present)
    fusion = train_fusion(dataset, content, settings, stage("fusion", settings.epochs))
    _write(folder, dataset, features, encoders, fusion, content)
    write_viewers(folder, ViewerTable(dataset.users, log.taste.numpy(), log.bias.numpy()))
    return {
        "terms": TERMS,
        "fusion": settings.fusion.to_dict(),
        **_told(settings, fusion),
        "features": {name: list(getattr(features, name).shape[1:]) for name in ("frames", "mfcc", "text")},
    }


def _told(settings: TrainSettings, fusion: FusionPredictor) -> dict[str, Any]:
    """What the manifest says of a training, of whichever kind."""
    return {
        "settings": {name: value for name, value in asdict(settings).items() if name != "fusion"},
        "calibration": dict(zip(("scale", "shift"), fusion.calibration.tolist(), strict=True)),
    }


def tune_bundle(
    dataset: Dataset,
    base: Bundle,
    settings: TrainSettings,
    folder: Path,
    *,
    checkpoints: Path | None = None,
    report: Reporter | None = None,
) -> dict[str, Any]:
    """As `train_bundle`, but from `base` on: all but content, the viewers' vectors and what makes them learns on.

    What videos are is what a log of months has taught; days of observations teach what has changed about the viewers.
    `dataset` counts its targets by their weights. Raises `InvalidBundle` when it has videos that `base` does not know.
    """
    _be_deterministic(settings)
    tell = report or _silent
    encoders, fusion = load_modules(load_file(base.folder / "weights.safetensors"), dict(base.manifest))
    table = base.catalogue()
    if table.video_ids != dataset.videos:
        raise InvalidBundle(f"the dataset's {len(dataset.videos)} videos are not those of model {base.digest[:12]}")
    content = FixedContent(torch.from_numpy(table.content), torch.from_numpy(log_length(table.duration_s)))
    stage = Stage("fusion", settings.seed, settings.epochs, settings.patience, checkpoints, tell("fusion", "batches"))
    fusion = tune_fusion(fusion, dataset, content, settings, stage)
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*UNCHANGED, *(f"content_{modality}.onnx" for modality in MODALITIES)):
        shutil.copy(base.folder / name, folder / name)
    export_fusion(folder, fusion)
    _write_weights(folder, encoders, fusion)
    kept = ("terms", "fusion", "features", "feature_settings")
    return {
        **{name: base.manifest[name] for name in kept},
        **_told(settings, fusion),
        "base": base.digest,
    }


def load_modules(arrays: dict[str, torch.Tensor], manifest: dict[str, Any]) -> tuple[ContentEncoders, FusionPredictor]:
    """The torch modules of a bundle again, from its weights: for explaining and for training on."""
    from interest.models.fusion_predictor import FusionConfig
    from interest.models.video_encoder import VideoBackbone

    config = FusionConfig(**manifest["fusion"])
    encoders = ContentEncoders(
        VideoBackbone(manifest["settings"]["backbone"]), config.embedding, manifest["features"]["mfcc"][1]
    )
    fusion = FusionPredictor(config)
    for prefix, module in (("encoders.", encoders), ("fusion.", fusion)):
        part = {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
        module.load_state_dict(part)
        module.eval()
    return encoders, fusion


def _write(
    folder: Path, dataset: Dataset, features: FeatureArrays, encoders: ContentEncoders, fusion: FusionPredictor,
    content: Content,
) -> None:  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    windows, frames, size = features.frames.shape[1:4]
    export_graphs(folder, encoders, fusion, frames=(windows, frames, size), mfcc=tuple(features.mfcc.shape[1:]),
                  text=features.text.shape[1])  # fmt: skip
    _write_weights(folder, encoders, fusion)
    with torch.no_grad():
        table = fusion.content(content.embeddings, content.present)
    write_catalogue(
        folder,
        CatalogueTable(dataset.videos, table.numpy(), dataset.duration_s, fusion.missing.detach().numpy()),
    )


def _write_weights(folder: Path, encoders: ContentEncoders, fusion: FusionPredictor) -> None:
    weights = {f"encoders.{name}": value for name, value in encoders.state_dict().items()}
    weights |= {f"fusion.{name}": value for name, value in fusion.state_dict().items()}
    save_file({name: value.contiguous() for name, value in weights.items()}, folder / "weights.safetensors")


def _silent(_label: str, _unit: str) -> Callable[[int, int], None]:
    return lambda *_: None


def _be_deterministic(settings: TrainSettings) -> None:
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True)
    random.seed(settings.seed)
    torch.manual_seed(settings.seed)
