"""What a log alone tells of its viewers and videos, before any content is looked at."""

from __future__ import annotations

import torch

from interest.datasets.samples import Dataset, Split
from interest.models.user_embedding import UserEmbedding
from interest.training.fit import Progress
from interest.training.loss import binary_loss
from interest.training.settings import TrainSettings

STRENGTH = 5.5
"""Precision of the prior. Chosen for what the videos' vectors tell of the topics of the reference world (3: .50 of
their variance, 4.5: .52, 6: .52, 8: .49, 12: .14); the validation loss alone would choose 8."""
STEPS = 100
RATE = 0.05


def train_collaborative(
    dataset: Dataset, settings: TrainSettings, on_progress: Progress | None = None
) -> UserEmbedding:
    """The factorisation of the training impressions, most probable under the prior (full-batch Adam)."""
    torch.manual_seed(settings.seed)
    model = UserEmbedding(len(dataset.users), len(dataset.videos), settings.fusion.embedding - 1)
    rows, targets = dataset.rows(Split.TRAIN), dataset.targets
    viewer, video, position = (
        torch.from_numpy(column[rows]) for column in (targets.viewer, targets.video, targets.position)
    )
    engaged = torch.from_numpy(targets.engaged[rows]).float()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = binary_loss(model(viewer, video, position), engaged) + model.penalty(STRENGTH) / len(rows)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if on_progress:
            on_progress(step + 1, STEPS)
    return model.requires_grad_(False)
