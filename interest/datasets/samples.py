"""Events to training samples, point in time: a target sees feedback strictly earlier than itself, no more.

Every impression is a target; its outcome is `records.engaged` over its feedback within the label window.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from interest.catalog import Catalog
from interest.errors import NotEnoughData
from interest.history import KIND_CODES, Feedback
from interest.records import Kind, engaged

LABEL_WINDOW_S = 1800.0
SPLIT_AT = (0.8, 0.9)
"""Shares of the impressions, by time, that end training and validation."""
MIN_IMPRESSIONS = 100
WEIGHTS = "weights.parquet"
"""Beside a log of observations: how much each impression counts, by the id of its event."""
TRUTH = "truth.safetensors"
"""Beside a simulated log's samples: what only the world knows of each target, row by row."""

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]


class Split(IntEnum):
    """Which part of time a target belongs to."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2


@dataclass(frozen=True)
class Targets:
    """One row an impression, grouped by viewer, by time within: what was shown and what came of it.

    `visible`: how many of the viewer's feedback events are strictly earlier. `cold_video`: the video has
    no impression in training; `cold_viewer`: the viewer has none. `event`: row in the events table. `weight`: how much
    it counts in training, `full_weight` when models are compared, 1 but where the log was observed (`observed`).
    """

    viewer: Ints
    video: Ints
    ts_ms: Ints
    position: Ints
    engaged: Bools
    randomised: Bools
    visible: Ints
    split: Ints
    cold_video: Bools
    cold_viewer: Bools
    event: Ints
    weight: Floats
    full_weight: Floats

    def __len__(self) -> int:
        return len(self.video)


@dataclass(frozen=True)
class Dataset:
    """All viewers' feedback (flat, `feedback_start` [U + 1] tells where each begins) and all targets."""

    users: tuple[str, ...]
    videos: tuple[str, ...]
    duration_s: NDArray[np.float64]
    feedback: Feedback
    feedback_start: Ints
    targets: Targets

    def rows(self, split: Split) -> Ints:
        """Target rows of one part of time."""
        return np.flatnonzero(self.targets.split == split)

    def write(self, folder: Path) -> None:
        """Write `samples.safetensors` and `index.json` into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, NDArray[Any]] = {
            "duration_s": self.duration_s,
            "feedback_start": self.feedback_start,
        }
        arrays |= {f"feedback.{name}": value for name, value in _columns(self.feedback)}
        arrays |= {f"targets.{name}": value for name, value in _columns(self.targets)}
        save_file(arrays, folder / "samples.safetensors")
        (folder / "index.json").write_text(json.dumps({"users": self.users, "videos": self.videos}))

    @staticmethod
    def read(folder: Path) -> Dataset:
        """Read what `write` wrote."""
        arrays = load_file(folder / "samples.safetensors")
        index = json.loads((folder / "index.json").read_text())
        for name in ("weight", "full_weight"):
            arrays.setdefault(f"targets.{name}", np.ones(len(arrays["targets.video"]), np.float32))
        return Dataset(
            users=tuple(index["users"]),
            videos=tuple(index["videos"]),
            duration_s=arrays["duration_s"],
            feedback=Feedback(**_group(arrays, "feedback.")),
            feedback_start=arrays["feedback_start"],
            targets=Targets(**_group(arrays, "targets.")),
        )


def build(catalog: Catalog, events: pa.Table, *, label_window_s: float = LABEL_WINDOW_S) -> Dataset:
    """Samples of a validated events table; raises `NotEnoughData` below `MIN_IMPRESSIONS` impressions."""
    table = _Columns.of(catalog, events)
    shown = np.flatnonzero(table.kind == Kind.IMPRESSION)
    shown = shown[_first_of_each(table.impression_key[shown])]
    if len(shown) < MIN_IMPRESSIONS:
        raise NotEnoughData(
            f"{len(shown)} impressions in the events; at least {MIN_IMPRESSIONS} are needed to train and test"
        )
    reacted = np.flatnonzero(table.kind != Kind.IMPRESSION)
    label = _outcomes(table, shown, reacted, catalog, label_window_s)
    order = np.lexsort((shown, table.ts_ms[shown], table.viewer[shown]))
    shown, label = shown[order], label[order]
    reacted = reacted[np.lexsort((reacted, table.ts_ms[reacted], table.viewer[reacted]))]
    start = np.searchsorted(table.viewer[reacted], np.arange(len(table.users) + 1))
    split = _split(table.ts_ms[shown])
    trained = split == Split.TRAIN
    return Dataset(
        users=table.users,
        videos=tuple(video.video_id for video in catalog),
        duration_s=np.array([video.duration_s for video in catalog]),
        feedback=Feedback(
            video=table.video[reacted],
            kind=np.array([KIND_CODES[Kind(kind)] for kind in table.kind[reacted]], np.int64),
            watch_ms=table.watch_ms[reacted],
            position=table.position[reacted],
            ts_ms=table.ts_ms[reacted],
        ),
        feedback_start=start,
        targets=Targets(
            viewer=table.viewer[shown],
            video=table.video[shown],
            ts_ms=table.ts_ms[shown],
            position=table.position[shown],
            engaged=label,
            randomised=table.randomised[shown],
            visible=_visible(table, shown, reacted, start),
            split=split,
            cold_video=~np.isin(table.video[shown], table.video[shown][trained]),
            cold_viewer=~np.isin(table.viewer[shown], table.viewer[shown][trained]),
            event=shown,
            weight=np.ones(len(shown), np.float32),
            full_weight=np.ones(len(shown), np.float32),
        ),
    )


@dataclass(frozen=True)
class _Columns:
    """The events table as arrays; `impression_key` is one number for viewer, request and video."""

    users: tuple[str, ...]
    viewer: Ints
    video: Ints
    kind: NDArray[np.object_]
    watch_ms: Ints
    position: Ints
    ts_ms: Ints
    randomised: Bools
    impression_key: Ints

    @staticmethod
    def of(catalog: Catalog, events: pa.Table) -> _Columns:
        users, viewer = _codes(events["user_id"])
        _, request = _codes(events["request_id"])
        names, code = _codes(events["video_id"])
        video = np.array([catalog.index.get(name, -1) for name in names], np.int64)[code]
        pair = viewer * (request.max(initial=0) + 1) + request
        numbers = {name: events[name].to_numpy().astype(np.int64) for name in ("watch_ms", "position", "ts_ms")}
        return _Columns(
            users=tuple(users),
            viewer=viewer,
            video=video,
            kind=events["kind"].to_numpy(zero_copy_only=False).astype(object),
            randomised=events["randomised"].to_numpy().astype(bool),
            impression_key=np.unique(pair, return_inverse=True)[1] * (len(names) + 1) + code,
            **numbers,
        )


def _codes(column: pa.ChunkedArray) -> tuple[list[str], Ints]:
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0)
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)


def _outcomes(table: _Columns, shown: Ints, reacted: Ints, catalog: Catalog, window_s: float) -> Bools:
    """Whether each impression in `shown` ended in engagement."""
    order = np.argsort(table.impression_key[shown], kind="stable")
    keys = table.impression_key[shown][order]
    place = np.minimum(np.searchsorted(keys, table.impression_key[reacted]), len(keys) - 1)
    impression = shown[order][place]
    delay = table.ts_ms[reacted] - table.ts_ms[impression]
    known = (keys[place] == table.impression_key[reacted]) & (delay >= 0) & (delay <= window_s * 1000)
    durations = [video.duration_s for video in catalog]
    result = np.zeros(len(shown), bool)
    for row, target in zip(reacted[known], order[place[known]], strict=True):
        reaction = (Kind(table.kind[row]), int(table.watch_ms[row]))
        if not result[target]:
            result[target] = engaged([reaction], durations[table.video[row]])
    return result


def _split(ts_ms: Ints) -> Ints:
    first, second = np.quantile(ts_ms, SPLIT_AT, method="lower")
    result: Ints = (ts_ms > first).astype(np.int64) + (ts_ms > second)
    return result


def _visible(table: _Columns, shown: Ints, reacted: Ints, start: Ints) -> Ints:
    """How many of the viewer's feedback events are strictly earlier than each impression."""
    result = np.empty(len(shown), np.int64)
    bounds = np.searchsorted(table.viewer[shown], np.arange(len(table.users) + 1))
    for user, (first, last) in _pairs(bounds):
        feedback_ts = table.ts_ms[reacted[start[user] : start[user + 1]]]
        result[first:last] = np.searchsorted(feedback_ts, table.ts_ms[shown[first:last]], side="left")
    return result


def _first_of_each(keys: Ints) -> Ints:
    return np.sort(np.unique(keys, return_index=True)[1])


def _pairs(bounds: Ints) -> Iterator[tuple[int, tuple[int, int]]]:
    return ((i, (int(bounds[i]), int(bounds[i + 1]))) for i in range(len(bounds) - 1))


def _columns(record: Feedback | Targets) -> Iterator[tuple[str, NDArray[Any]]]:
    return ((field.name, getattr(record, field.name)) for field in fields(record))


def _group(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
