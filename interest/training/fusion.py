"""Second stage: the fusion learns from whole stretches of viewers' lives, every impression in them a sample.

Content embeddings are computed once; a step gathers those it needs. One causal pass over a stretch of
100 events serves all of the impressions that fall into it, where a naive design encodes the viewer and
every candidate anew for each sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interest.datasets.samples import Dataset, Split
from interest.datasets.windows import Histories, cut, moments
from interest.errors import NotEnoughData
from interest.history import HISTORY, log_length
from interest.models.fusion_predictor import FusionPredictor, Items, Scores
from interest.training.fit import Stage, decay_groups, fit
from interest.training.loss import binary_loss
from interest.training.settings import TrainSettings

VALIDATION_TARGETS = 8000
CALIBRATION_TARGETS = 24_000
SCORE_BATCH = 64

EVERY = slice(None)

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class _Stretches:
    """B stretches of viewers' feedback, each with its targets, padded to N; `real` is where no padding is.

    `counts` is how much each target counts.
    """

    histories: Histories
    visible: Tensor
    now: Tensor
    video: Tensor
    position: Tensor
    engaged: Tensor
    counts: Tensor
    real: Tensor


@dataclass(frozen=True)
class Content:
    """What the fusion knows of the catalogue: `embeddings` [V, M, E], `present` [V, M], `log_length` [V]."""

    embeddings: Tensor
    present: Tensor
    log_length: Tensor

    @staticmethod
    def of(dataset: Dataset, embeddings: NDArray[np.float32], present: NDArray[np.bool_]) -> Content:
        return Content(
            torch.from_numpy(embeddings),
            torch.from_numpy(present),
            torch.from_numpy(log_length(dataset.duration_s)),
        )

    def made(self, model: FusionPredictor, rows: Tensor | slice = EVERY) -> Tensor:
        """Content of some of the videos, [N, M, C]."""
        return model.content(self.embeddings[rows], self.present[rows])


@dataclass(frozen=True)
class FixedContent:
    """Content as a model before has made it, `table` [V, M, C], which is not learned any more; `log_length` [V]."""

    table: Tensor
    log_length: Tensor

    def made(self, model: FusionPredictor, rows: Tensor | slice = EVERY) -> Tensor:
        """Content of some of the videos, [N, M, C]; in training some modalities are dropped at random."""
        table = self.table[rows]
        if not model.training:
            return table
        dropped = torch.rand(table.shape[:2]) < model.config.modality_dropout
        return torch.where(dropped[..., None], model.missing.detach(), table)


def train_fusion(dataset: Dataset, content: Content, settings: TrainSettings, stage: Stage) -> FusionPredictor:
    """The calibrated fusion predictor, at its best validated weights."""
    torch.manual_seed(settings.seed)
    model = FusionPredictor(settings.fusion)
    _standardise(model, content, np.unique(dataset.targets.video[dataset.rows(Split.TRAIN)]))
    return _trained(model, dataset, content, settings, stage)


def tune_fusion(
    model: FusionPredictor, dataset: Dataset, content: FixedContent, settings: TrainSettings, stage: Stage
) -> FusionPredictor:
    """The same for a model that was trained before: all learns on but what makes content."""
    torch.manual_seed(settings.seed)
    for fixed in (*model.adapters.parameters(), model.missing):
        fixed.requires_grad_(False)
    model.calibration.copy_(torch.tensor([1.0, 0.0]))
    return _trained(model, dataset, content, settings, stage)


def _trained(
    model: FusionPredictor, dataset: Dataset, content: Content | FixedContent, settings: TrainSettings, stage: Stage
) -> FusionPredictor:
    """`model` at its best validated weights, calibrated."""
    if not len(dataset.rows(Split.VALIDATION)):
        raise NotEnoughData("no impression falls into the validation tenth of the time; the log is too short")
    weighted = bool((dataset.targets.weight != 1.0).any())
    targets = _TrainTargets(dataset)
    chosen = some_viewers(dataset, dataset.rows(Split.VALIDATION), VALIDATION_TARGETS)

    def batches(epoch: int) -> list[Ints]:
        order = np.random.default_rng([stage.seed, 12, epoch]).permutation(targets.viewers)
        return [order[i : i + settings.batch] for i in range(0, len(order), settings.batch)]

    def loss(viewers: Ints) -> Tensor:
        stretches = targets.stretches(viewers)
        scores = _score(model, content, stretches)
        log_chance = (scores.log_look + torch.nn.functional.logsigmoid(scores.logit))[stretches.real]
        counts = stretches.counts[stretches.real] if weighted else None
        return binary_loss(log_chance, stretches.engaged[stretches.real], counts)

    def validate() -> float:
        counts = dataset.targets.weight[chosen] if weighted else None
        return _loss(*logits(model, dataset, content, chosen), dataset.targets.engaged[chosen], counts)

    optimizer = torch.optim.AdamW(decay_groups(model, settings.weight_decay), lr=settings.rate, betas=(0.9, 0.98))
    fit(stage, model, optimizer, batches, loss, validate)
    calibrate(model, dataset, content)
    return model


def logits(
    model: FusionPredictor, dataset: Dataset, content: Content | FixedContent, rows: Ints
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(logit, log e(position)) of target rows, each with its own history exactly as serving sees it.

    Targets whose histories begin with the same event share one pass, as the sequence is causal.
    """
    model.eval()
    out = np.empty((2, len(rows)))
    columns = dataset.targets
    end = dataset.feedback_start[columns.viewer[rows]] + columns.visible[rows]
    start = np.maximum(dataset.feedback_start[columns.viewer[rows]], end - HISTORY)
    order = np.lexsort((end, start))
    groups = np.split(order, np.flatnonzero(np.diff(start[order])) + 1)
    with torch.no_grad():
        items = known_items(model, content)
        for i in range(0, len(groups), SCORE_BATCH):
            batch = groups[i : i + SCORE_BATCH]
            most = max(len(group) for group in batch)
            place = np.stack([np.pad(group, (0, most - len(group)), mode="edge") for group in batch])
            histories = cut(dataset, start[place[:, 0]], end[place].max(1))
            now = moments(dataset, rows[place.ravel()], start[place.ravel()]).reshape(*place.shape, 2)
            state = model.encode_viewer(
                items.token[torch.from_numpy(histories.video)],
                torch.from_numpy(histories.kind),
                torch.from_numpy(histories.outcome),
                torch.from_numpy(end[place] - start[place]),
            )
            video = torch.from_numpy(columns.video[rows[place]])
            position = torch.from_numpy(columns.position[rows[place]])
            scores = model.score(state, torch.from_numpy(now), items.take(video), position)
            out[:, place] = torch.stack([scores.logit, scores.log_look]).numpy()
    return out[0], out[1]


def known_items(model: FusionPredictor, content: Content | FixedContent, rows: Tensor | slice = EVERY) -> Items:
    """Items of some videos and, as row -1, of a video that nothing is known of."""
    made = torch.cat([content.made(model, rows), model.missing[None]])
    length = content.log_length[rows]
    return model.items(made, torch.cat([length, length.new_zeros(1)]))


def calibrate(model: FusionPredictor, dataset: Dataset, content: Content | FixedContent) -> None:
    """Platt scaling of the logit on the validation split (Platt 1999), baked into the model."""
    rows = some_viewers(dataset, dataset.rows(Split.VALIDATION), CALIBRATION_TARGETS)
    model.calibration.copy_(torch.tensor([1.0, 0.0]))
    logit, look = (torch.from_numpy(column) for column in logits(model, dataset, content, rows))
    engaged = torch.from_numpy(dataset.targets.engaged[rows]).double()
    line = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([line], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = binary_loss(look + torch.nn.functional.logsigmoid(line[0] * logit + line[1]), engaged)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    if torch.isfinite(line).all() and line[0] > 0:
        model.calibration.copy_(line.detach().float())


class _TrainTargets:
    """Training targets by viewer, and stretches of viewers' lives cut around them."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        rows = dataset.rows(Split.TRAIN)
        self.rows = rows
        viewer = dataset.targets.viewer[rows]
        self.start = np.searchsorted(viewer, np.arange(len(dataset.users) + 1))
        self.viewers = np.flatnonzero(np.diff(self.start))

    def stretches(self, viewers: Ints) -> _Stretches:
        """At most HISTORY events a viewer, cut at random; targets inside see only the stretch's own past."""
        data, columns = self.dataset, self.dataset.targets
        first, end = data.feedback_start[viewers], data.feedback_start[viewers + 1]
        spare = np.maximum(end - first - HISTORY, 0)
        shift = (torch.rand(len(viewers)).numpy() * (spare + 1)).astype(np.int64)
        start = first + np.minimum(shift, spare)
        chosen = [
            rows[(columns.visible[rows] >= offset) & (columns.visible[rows] <= offset + HISTORY)]
            for rows, offset in zip((self.rows[self.start[v] : self.start[v + 1]] for v in viewers), start - first,
                                    strict=True)
        ]  # fmt: skip
        most = max(len(rows) for rows in chosen)
        padded = np.stack([np.pad(rows, (0, most - len(rows)), constant_values=-1) for rows in chosen])
        real = padded >= 0
        flat = np.maximum(padded, 0)
        visible = np.where(real, columns.visible[flat] - (start - first)[:, None], 0)
        now = moments(data, flat.ravel(), np.repeat(start, most)).reshape(len(viewers), most, 2)
        return _Stretches(
            histories=cut(data, start, np.minimum(start + HISTORY, end)),
            visible=torch.from_numpy(visible),
            now=torch.from_numpy(now),
            video=torch.from_numpy(columns.video[flat]),
            position=torch.from_numpy(columns.position[flat]),
            engaged=torch.from_numpy(columns.engaged[flat]).float(),
            counts=torch.from_numpy(columns.weight[flat]),
            real=torch.from_numpy(real),
        )


def _score(model: FusionPredictor, content: Content | FixedContent, stretches: _Stretches) -> Scores:
    """Scores of all targets of a batch of stretches; only the videos in it are adapted."""
    past = torch.from_numpy(stretches.histories.video)
    used, place = torch.unique(torch.cat([past.flatten().clamp(min=0), stretches.video.flatten()]), return_inverse=True)
    items = known_items(model, content, used)
    split = past.numel()
    past_row = torch.where(past >= 0, place[:split].view(past.shape), -1)
    state = model.encode_viewer(
        items.token[past_row],
        torch.from_numpy(stretches.histories.kind),
        torch.from_numpy(stretches.histories.outcome),
        stretches.visible,
    )
    candidates = items.take(place[split:].view(stretches.video.shape))
    return model.score(state, stretches.now, candidates, stretches.position)


def _standardise(model: FusionPredictor, content: Content, rows: Ints) -> None:
    embeddings = content.embeddings[rows]
    model.embedding_mean.copy_(embeddings.mean(0))
    model.embedding_spread.copy_(embeddings.std(0, unbiased=False).clamp(min=1e-3))


def _loss(
    logit: NDArray[np.float64],
    look: NDArray[np.float64],
    engaged: NDArray[np.bool_],
    counts: NDArray[np.float32] | None,
) -> float:
    log_chance = torch.from_numpy(look) + torch.nn.functional.logsigmoid(torch.from_numpy(logit))
    weight = None if counts is None else torch.from_numpy(counts).double()
    return binary_loss(log_chance, torch.from_numpy(engaged).double(), weight).item()


def some_viewers(dataset: Dataset, rows: Ints, most: int) -> Ints:
    """About `most` of the rows: all of those of evenly chosen viewers."""
    viewer = dataset.targets.viewer[rows]
    viewers = np.unique(viewer)
    count = max(1, round(len(viewers) * min(1.0, most / len(rows))))
    return rows[np.isin(viewer, viewers[np.linspace(0, len(viewers) - 1, count).astype(np.int64)])]
