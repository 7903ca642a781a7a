"""First stage: content encoders learn from the log, each video encoded once an epoch for all of its events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interest.datasets.samples import Dataset, Split
from interest.errors import NotEnoughData
from interest.models.content_model import ContentEncoders, ContentFactorisation
from interest.models.names import MODALITIES
from interest.models.user_embedding import UserEmbedding
from interest.training.features import FeatureArrays
from interest.training.fit import Stage, decay_groups, fit
from interest.training.settings import TrainSettings

HELD_OUT = 10
"""Every tenth trained video is kept from the encoders to tell when they start to learn by heart."""
ENCODE_BATCH = 64

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class _Batch:
    videos: Ints
    row: Tensor
    viewer: Tensor
    position: Tensor
    engaged: Tensor


class _Events:
    """Training events grouped by video."""

    def __init__(self, dataset: Dataset) -> None:
        targets = dataset.targets
        rows = dataset.rows(Split.TRAIN)
        rows = rows[np.argsort(targets.video[rows], kind="stable")]
        self.rows, self.targets = rows, targets
        self.start = np.searchsorted(targets.video[rows], np.arange(len(dataset.videos) + 1))
        self.seen = np.flatnonzero(np.diff(self.start))

    def batch(self, videos: Ints) -> _Batch:
        rows = np.concatenate([self.rows[self.start[v] : self.start[v + 1]] for v in videos])
        counts = [self.start[v + 1] - self.start[v] for v in videos]
        return _Batch(
            videos=videos,
            row=torch.from_numpy(np.repeat(np.arange(len(videos)), counts)),
            viewer=torch.from_numpy(self.targets.viewer[rows]),
            position=torch.from_numpy(self.targets.position[rows]),
            engaged=torch.from_numpy(self.targets.engaged[rows]).float(),
        )


def train_content(
    dataset: Dataset, features: FeatureArrays, settings: TrainSettings, stage: Stage
) -> tuple[ContentEncoders, UserEmbedding]:
    """Encoders whose embeddings tell whom a video engages, and the viewers' own vectors from the whole log.

    Raises `NotEnoughData` below 20 watched videos.
    """
    events = _Events(dataset)
    if len(events.seen) < 2 * HELD_OUT:
        raise NotEnoughData(
            f"{len(events.seen)} videos have impressions in training; 20 are the least to learn from"
        )
    torch.manual_seed(settings.seed)
    config = settings.fusion
    encoders = ContentEncoders(settings.backbone, config.embedding, features.mfcc.shape[2])
    model = ContentFactorisation(encoders, len(dataset.users), config.embedding, settings.taste)
    inputs = _Inputs(features, encoders)
    viewer_events = torch.from_numpy(
        np.bincount(dataset.targets.viewer[events.rows], minlength=len(dataset.users))
    ).float()
    held_out = np.zeros(len(events.seen), bool)
    held_out[::HELD_OUT] = True
    learned, kept = events.seen[~held_out], events.seen[held_out]

    def batches(epoch: int) -> list[_Batch]:
        order = np.random.default_rng([stage.seed, 11, epoch]).permutation(learned)
        size = settings.content_batch
        return [events.batch(order[i : i + size]) for i in range(0, len(order), size)]

    def loss(batch: _Batch) -> Tensor:
        present = torch.from_numpy(features.present[batch.videos])
        kept = torch.rand(present.shape) >= config.modality_dropout
        embeddings = encoders(*inputs.sample(batch.videos))
        penalty = model.users.penalty(batch.viewer, viewer_events)
        return _negative_log_likelihood(model, embeddings, present & kept, batch) + penalty

    def validate() -> float:
        with torch.no_grad():
            embeddings = torch.from_numpy(encode(encoders, features, kept))
            present = torch.from_numpy(features.present[kept])
            return _negative_log_likelihood(model, embeddings, present, events.batch(kept)).item()

    optimizer = torch.optim.AdamW(
        [
            *({**group, "lr": settings.content_rate} for group in decay_groups(encoders, settings.weight_decay)),
            {"params": [*model.users.parameters()], "lr": 2e-2, "weight_decay": 0.0},
            {"params": [model.missing, *model.project.parameters(), *model.appeal.parameters(), model.look],
             "lr": settings.content_rate, "weight_decay": 0.0},
        ],
        betas=(0.9, 0.95),
    )  # fmt: skip
    fit(stage, model, optimizer, batches, loss, validate)
    return encoders, model.users


def encode(encoders: ContentEncoders, features: FeatureArrays, rows: Ints) -> NDArray[np.float32]:
    """Embeddings of the given catalogue rows, [N, M, E]; all windows of each video."""
    encoders.eval()
    result = np.empty((len(rows), len(MODALITIES), encoders.embedding), np.float32)
    with torch.no_grad():
        for i in range(0, len(rows), ENCODE_BATCH):
            chosen = rows[i : i + ENCODE_BATCH]
            arrays = (features.frames[chosen], features.mfcc[chosen], features.text[chosen])
            result[i : i + ENCODE_BATCH] = encoders(*(torch.from_numpy(array) for array in arrays)).numpy()
    return result


class _Inputs:
    """Training inputs: one window of frames a video, drawn anew each time; frozen parts are computed once."""

    def __init__(self, features: FeatureArrays, encoders: ContentEncoders) -> None:
        self.features, self.encoders = features, encoders
        self.prepared: dict[int, Tensor] = {}

    def sample(self, videos: Ints) -> tuple[Tensor, Tensor, Tensor]:
        features = self.features
        window = torch.randint(features.frames.shape[1], (len(videos),)).numpy()
        if any(not parameter.requires_grad for parameter in self.encoders.video.parameters()):
            frames = torch.stack([self._prepare(int(v), int(w)) for v, w in zip(videos, window, strict=True)])
        else:
            frames = torch.from_numpy(features.frames[videos, window][:, None])
        return frames, torch.from_numpy(features.mfcc[videos]), torch.from_numpy(features.text[videos])

    def _prepare(self, video: int, window: int) -> Tensor:
        if video not in self.prepared:
            self.prepared[video] = self.encoders.video.prepare(
                torch.from_numpy(self.features.frames[[video]])
            )[0]
        return self.prepared[video][window : window + 1]


def _negative_log_likelihood(
    model: ContentFactorisation, embeddings: Tensor, present: Tensor, batch: _Batch
) -> Tensor:
    log_chance = model(embeddings, present, batch.row, batch.viewer, batch.position)
    return binary_loss(log_chance, batch.engaged)


def binary_loss(log_chance: Tensor, engaged: Tensor) -> Tensor:
    """Mean negative log-likelihood of outcomes under log probabilities."""
    log_chance = log_chance.clamp(max=-1e-6)
    return -(engaged * log_chance + (1.0 - engaged) * torch.log1p(-log_chance.exp())).mean()
