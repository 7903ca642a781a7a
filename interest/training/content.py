"""First stage: encoders learn to see in a video's content what the log says of it (CB2CF, Barkan et al. 2019).

The log's own vectors of the videos (collaborative.py) are the targets; each modality learns alone, so that
none leans on another that may be missing. A new video then has a vector before anybody has seen it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from interest.datasets.samples import Dataset, Split
from interest.errors import NotEnoughData
from interest.models.content_model import ContentEncoders
from interest.models.names import MODALITIES
from interest.models.user_embedding import UserEmbedding
from interest.models.video_encoder import VideoEncoder
from interest.training.features import FeatureArrays
from interest.training.fit import Stage, decay_groups, fit
from interest.training.settings import TrainSettings

HELD_OUT = 10
"""Every tenth trained video is kept from the encoders to tell when they start to learn by heart."""
WEIGHT_PRIOR = 50.0
"""Impressions at which a video's own vector is trusted by half."""
CHEAP_EPOCHS = 3
"""Sound and text take this many times the epochs of the pictures: they cost little and converge later."""
ENCODE_BATCH = 64

Ints = NDArray[np.int64]
Inputs = Callable[[Ints], Tensor]


@dataclass(frozen=True)
class _Targets:
    """What the log says of the trained videos: `vector` [V, E], `weight` [V]; `learned` and `kept` are their rows."""

    vector: Tensor
    weight: Tensor
    learned: Ints
    kept: Ints


def train_content(
    dataset: Dataset,
    features: FeatureArrays,
    log: UserEmbedding,
    settings: TrainSettings,
    stage: Callable[[str, int], Stage],
) -> ContentEncoders:
    """Encoders of all modalities; `stage(name, epochs)` makes the schedule of each.

    Raises `NotEnoughData` below 20 videos with impressions in training.
    """
    targets = _targets(dataset, log)
    torch.manual_seed(settings.seed)
    encoders = ContentEncoders(settings.backbone, settings.fusion.embedding, features.mfcc.shape[2])
    inputs: dict[str, Inputs] = {
        "video": _Frames(features, encoders),
        "audio": lambda rows: torch.from_numpy(features.mfcc[rows]),
        "text": lambda rows: torch.from_numpy(features.text[rows]),
    }
    for number, modality in enumerate(MODALITIES):
        there = features.present[:, number]
        chosen = replace(targets, learned=targets.learned[there[targets.learned]],
                         kept=targets.kept[there[targets.kept]])  # fmt: skip
        if len(chosen.learned) < 2 or not len(chosen.kept):
            continue
        epochs = settings.content_epochs * (1 if modality == "video" else CHEAP_EPOCHS)
        part = stage(f"{modality}_encoder", epochs)
        _regress(getattr(encoders, modality), inputs[modality], _whole(features, modality), chosen, settings, part)
    return encoders.eval()


def encode(encoders: ContentEncoders, features: FeatureArrays, rows: Ints) -> NDArray[np.float32]:
    """Embeddings of the given catalogue rows, [N, M, E]; all windows of each video."""
    columns = [_encode(getattr(encoders, name), _whole(features, name), rows).numpy() for name in MODALITIES]
    return np.stack(columns, axis=1)


def _regress(
    encoder: nn.Module, inputs: Inputs, whole: Inputs, targets: _Targets, settings: TrainSettings, stage: Stage
) -> None:
    """Least squares, weighted by how much the log knows of each video."""

    def batches(epoch: int) -> list[Ints]:
        order = np.random.default_rng([stage.seed, 11, epoch]).permutation(targets.learned)
        return [order[i : i + settings.content_batch] for i in range(0, len(order), settings.content_batch)]

    def loss(rows: Ints) -> Tensor:
        return _distance(encoder(inputs(rows)), targets, rows)

    def validate() -> float:
        return _distance(_encode(encoder, whole, targets.kept), targets, targets.kept).item()

    rate = settings.content_rate
    optimizer = torch.optim.AdamW(decay_groups(encoder, settings.content_decay), lr=rate, betas=(0.9, 0.98))
    fit(stage, encoder, optimizer, batches, loss, validate)


def _distance(made: Tensor, targets: _Targets, rows: Ints) -> Tensor:
    weight = targets.weight[rows]
    return ((made - targets.vector[rows]).square().mean(-1) * weight).sum() / weight.sum()


def _targets(dataset: Dataset, log: UserEmbedding) -> _Targets:
    shown = np.bincount(dataset.targets.video[dataset.rows(Split.TRAIN)], minlength=len(dataset.videos))
    seen = np.flatnonzero(shown)
    if len(seen) < 2 * HELD_OUT:
        raise NotEnoughData(f"{len(seen)} videos have impressions in training; 20 are the least to learn from")
    traits, appeal = log.traits.detach(), log.appeal.detach()[:, None]
    vector = torch.cat([traits / traits[seen].std(), appeal / appeal[seen].std()], dim=1)
    held_out = np.zeros(len(seen), bool)
    held_out[::HELD_OUT] = True
    weight = torch.from_numpy(shown / (shown + WEIGHT_PRIOR)).float()
    return _Targets(vector, weight, learned=seen[~held_out], kept=seen[held_out])


def _whole(features: FeatureArrays, modality: str) -> Inputs:
    arrays: dict[str, NDArray[Any]] = {"video": features.frames, "audio": features.mfcc, "text": features.text}
    array = arrays[modality]
    return lambda rows: torch.from_numpy(array[rows])


def _encode(encoder: nn.Module, inputs: Inputs, rows: Ints) -> Tensor:
    encoder.eval()
    with torch.no_grad():
        pieces = [encoder(inputs(rows[i : i + ENCODE_BATCH])) for i in range(0, len(rows), ENCODE_BATCH)]
    return torch.cat(pieces)


class _Frames:
    """One window of frames a video, drawn anew each time, mirrored half of the time; frozen parts are computed once."""

    def __init__(self, features: FeatureArrays, encoders: ContentEncoders) -> None:
        self.features, self.encoder = features, encoders.video
        self.prepared: dict[int, Tensor] = {}

    def __call__(self, rows: Ints) -> Tensor:
        window = torch.randint(self.features.frames.shape[1], (len(rows),)).numpy()
        if isinstance(self.encoder, VideoEncoder):
            frames = torch.from_numpy(self.features.frames[rows, window][:, None])
            mirrored = torch.rand(len(rows)) < 0.5
            frames[mirrored] = frames[mirrored].flip(4)
            return frames
        return torch.stack([self._prepare(int(row))[[at]] for row, at in zip(rows, window, strict=True)])

    def _prepare(self, row: int) -> Tensor:
        if row not in self.prepared:
            self.prepared[row] = self.encoder.prepare(torch.from_numpy(self.features.frames[[row]]))[0]
        return self.prepared[row]
