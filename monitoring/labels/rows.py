"""Requests whose window is over, as rows of the observations' table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from interest.datasets.observations import SCHEMA
from interest.records import ENGAGED_WATCH_S, watch_threshold_ms
from monitoring.labels.window import Request

DAY_MS = 86_400_000
_REQUEST = SCHEMA.names[: SCHEMA.get_field_index("video_id")]
_VIDEO = SCHEMA.names[SCHEMA.get_field_index("video_id") :]
_NOTHING = (None,) * len(_VIDEO)


class Scores(msgspec.Struct):
    """The candidates of an exposure."""

    candidates: list[str]
    scores: list[float]


_scores = msgspec.json.Decoder(Scores).decode


def _read(body: bytes) -> Scores:
    try:
        return _scores(body)
    except (msgspec.DecodeError, UnicodeDecodeError):  # a foreign producer's: its videos have no scores then
        return Scores([], [])


class Rows:
    """Collects rows by day of their exposure's record (UTC); `duration_s` knows the lengths of a model's videos."""

    def __init__(self, window_ms: int, duration_s: Callable[[str, str], float | None]) -> None:
        self.window_ms, self.duration_s = window_ms, duration_s
        self.count = self.requests = self.labelled = self.unknown_durations = self.foreign_videos = 0
        self._days: dict[int, tuple[list[list[Any]], list[list[Any]], list[int]]] = {}

    def add(self, request: Request) -> None:
        """One request: a row a video that was shown, or one without a video."""
        exposed, found = request.exposed, _read(request.body)
        columns, videos, repeats = self._days.setdefault(
            request.logged_ms // DAY_MS, ([[] for _ in _REQUEST], [[] for _ in _VIDEO], [])
        )
        values = (
            exposed.request_id, exposed.user_id, exposed.experiment, exposed.arm, exposed.propensity,
            exposed.model_digest, exposed.ts_ms, request.logged_ms, exposed.baseline, exposed.latency_ms,
            exposed.failed, exposed.unknown, exposed.state_age_ms, len(found.candidates), self.window_ms,
        )  # fmt: skip
        for column, value in zip(columns, values, strict=True):
            column.append(value)
        scores = dict(zip(found.candidates, found.scores, strict=False))
        made = [self._row(exposed.model_digest, name, shown, scores) for name, shown in request.shown.items()
                if shown.impression]  # fmt: skip
        for row in made or [_NOTHING]:
            for column, value in zip(videos, row, strict=True):
                column.append(value)
        repeats.append(len(made) or 1)
        self.requests += 1
        self.labelled += bool(made)
        self.count += len(made) or 1

    def take(self) -> dict[str, pa.Table]:
        """What was collected, by day (YYYY-MM-DD), and begin anew."""
        days = {}
        for number, (columns, videos, repeats) in sorted(self._days.items()):
            rows = pa.array(np.repeat(np.arange(len(repeats)), repeats))
            arrays = [pa.array(column, SCHEMA.field(name).type).take(rows)
                      for name, column in zip(_REQUEST, columns, strict=True)]  # fmt: skip
            arrays += [pa.array(column, SCHEMA.field(name).type) for name, column in zip(_VIDEO, videos, strict=True)]
            day = datetime.fromtimestamp(number * DAY_MS / 1000, UTC)
            days[f"{day:%Y-%m-%d}"] = pa.Table.from_arrays(arrays, schema=SCHEMA)
        self._days = {}
        self.count = 0
        return days

    def _row(self, digest: str, name: str, shown: Any, scores: dict[str, float]) -> tuple[Any, ...]:
        duration_s = self.duration_s(digest, name)
        if duration_s is None:
            self.unknown_durations += 1
            duration_s = ENGAGED_WATCH_S
        score = scores.get(name)
        self.foreign_videos += score is None
        engaged = shown.liked or shown.shared or shown.watch_ms >= watch_threshold_ms(duration_s)
        return (name, score, shown.position, shown.randomised, engaged, max(shown.watch_ms, 0), shown.liked,
                shown.shared, shown.skipped, shown.shown_ms)  # fmt: skip
