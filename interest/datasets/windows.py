"""Cutting histories out of a dataset: the last events before a moment, as arrays the model takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interest.datasets.samples import Dataset
from interest.history import HISTORY, Feedback, moment, outcomes

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Histories:
    """B histories, padded on the right to L rows: `video` (row, -1: none), `kind`, `outcome` [B, L, 4].

    `start` and `end` [B] are the rows of the dataset's flat feedback that each one covers.
    """

    video: Ints
    kind: Ints
    outcome: Floats
    start: Ints
    end: Ints


def cut(dataset: Dataset, start: Ints, end: Ints, length: int = HISTORY) -> Histories:
    """Histories from the flat feedback rows [start, end) of each; at most `length` rows each."""
    place = np.arange(length)
    rows = start[:, None] + place
    real = rows < end[:, None]
    last = np.maximum(np.minimum(rows, end[:, None] - 1), 0)
    source = dataset.feedback
    if len(source.video) == 0:
        empty = np.zeros((len(start), length), np.int64)
        return Histories(empty - 1, empty, np.zeros((*empty.shape, 4), np.float32), start, end)
    feedback = Feedback(
        video=np.where(real, source.video[last], -1),
        kind=source.kind[last],
        watch_ms=source.watch_ms[last],
        position=source.position[last],
        ts_ms=source.ts_ms[last],
    )
    duration = np.where(feedback.video >= 0, dataset.duration_s[feedback.video], 0.0)
    outcome = np.where(real[..., None], outcomes(feedback, duration), 0.0).astype(np.float32)
    return Histories(feedback.video, np.where(real, feedback.kind, 0), outcome, start, end)


def before(dataset: Dataset, targets: Ints, length: int = HISTORY) -> tuple[Histories, Ints, Floats]:
    """Each target row's own history as serving would see it: (histories, visible [N, 1], moment [N, 1, 2])."""
    columns = dataset.targets
    first = dataset.feedback_start[columns.viewer[targets]]
    end = first + columns.visible[targets]
    start = np.maximum(first, end - length)
    return cut(dataset, start, end, length), (end - start)[:, None], moments(dataset, targets, start)[:, None]


def moments(dataset: Dataset, targets: Ints, start: Ints) -> Floats:
    """The targets' moments [N, 2], knowing only feedback from row `start` [N] on."""
    columns = dataset.targets
    end = dataset.feedback_start[columns.viewer[targets]] + columns.visible[targets]
    ts = dataset.feedback.ts_ms
    last = np.where(end > start, ts[np.maximum(end - 1, 0)], -1) if len(ts) else np.full(len(targets), -1)
    return moment(last, columns.ts_ms[targets])
