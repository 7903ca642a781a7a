"""Exposures and events as records of two topics, and the rows that they make by the plainest possible join."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from interest.records import FEEDBACK, Event, Exposure, Kind, engaged
from wire.kafka import EVENTS, EXPOSURES, Record, partition_of

BEGIN_MS = 1_700_000_000_000
encode = msgspec.json.Encoder().encode
Row = dict[str, Any]


def exposure(request_id: str, user_id: str = "u1", ts_ms: int = BEGIN_MS, **more: object) -> Exposure:
    """An exposure of which only what matters is said."""
    values: dict[str, Any] = {
        "experiment": None, "arm": "stable", "propensity": 1.0, "model_digest": "m1", "candidates": ("v1", "v2", "v3"),
        "positions": (1, 2, 3), "scores": (0.5, 0.25, 0.125), "state_offset": (-1, 0), "state_since": 0,
        "state_age_ms": 7, **more,
    }  # fmt: skip
    return Exposure(request_id=request_id, user_id=user_id, ts_ms=ts_ms, **values)


def event(request_id: str, event_id: str, kind: Kind = Kind.IMPRESSION, user_id: str = "u1", **more: object) -> Event:
    """An event of which only what matters is said."""
    values: dict[str, Any] = {"video_id": "v1", "ts_ms": BEGIN_MS, **more}
    return Event(request_id=request_id, event_id=event_id, user_id=user_id, kind=kind, **values)


@dataclass
class Streams:
    """Both topics as a broker would hold them."""

    partitions: int = 1
    records: dict[str, list[Record]] = field(default_factory=lambda: {EXPOSURES: [], EVENTS: []})
    _next: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))

    def add(self, one: Exposure | Event, ts_ms: int) -> Record:
        """Append, received at `ts_ms`."""
        topic = EXPOSURES if isinstance(one, Exposure) else EVENTS
        return self.add_raw(topic, one.user_id.encode(), encode(one), ts_ms)

    def add_raw(self, topic: str, key: bytes | None, value: bytes | None, ts_ms: int = BEGIN_MS) -> Record:
        """Append any record."""
        partition = partition_of(key or b"", self.partitions)
        record = Record(topic, partition, self._next[topic, partition], ts_ms, key, value)
        self._next[topic, partition] += 1
        self.records[topic].append(record)
        return record


def naive(
    exposures: Iterable[tuple[int, Exposure]],
    events: Iterable[tuple[int, Event]],
    window_ms: int,
    slack_ms: int,
    durations: Mapping[str, float],
) -> list[Row]:
    """The rows of (record's ms, exposure) and (record's ms, event), each in the order of their topic."""
    events = list(events)
    asked: dict[str, tuple[int, Exposure]] = {}
    for ms, one in exposures:
        asked.setdefault(one.request_id, (ms, one))
    rows = []
    for ms, one in asked.values():
        found: dict[str, Event] = {}
        for event_ms, act in events:
            mine = act.request_id == one.request_id and act.user_id == one.user_id
            if mine and ms - slack_ms <= event_ms <= ms + window_ms:
                found.setdefault(act.event_id, act)
        rows += _rows(ms, one, list(found.values()), window_ms, durations)
    return in_order(rows)


def _rows(ms: int, one: Exposure, acts: Sequence[Event], window_ms: int, durations: Mapping[str, float]) -> list[Row]:
    about: Row = {
        name: getattr(one, name)
        for name in ("request_id", "user_id", "experiment", "arm", "propensity", "model_digest", "ts_ms", "baseline",
                     "failed", "unknown", "state_age_ms")
    }  # fmt: skip
    about |= {"logged_ms": ms, "latency_ms": one.latency_ms, "candidates": len(one.candidates)}
    about["label_age_ms"] = window_ms
    rows = []
    for video_id in dict.fromkeys(act.video_id for act in acts):
        its = [act for act in acts if act.video_id == video_id]
        shown = [act for act in its if act.kind is Kind.IMPRESSION]
        if not shown:
            continue
        scores = dict(zip(reversed(one.candidates), reversed(one.scores), strict=True))
        positions = dict(zip(reversed(one.candidates), reversed(one.positions), strict=True))
        better = sorted(np.float32(one.scores), reverse=True)
        done = [act for act in its if act.kind is not Kind.IMPRESSION]
        done.sort(key=lambda act: (act.ts_ms, FEEDBACK.index(act.kind), act.watch_ms, act.position))
        kinds = {act.kind for act in its}
        feedback = [(act.kind, act.watch_ms) for act in its if act.kind is not Kind.IMPRESSION]
        rows.append(
            about
            | {
                "video_id": video_id, "score": scores.get(video_id),
                "rank": 1 + better.index(np.float32(scores[video_id])) if video_id in scores else None,
                "scored_position": positions.get(video_id), "position": shown[0].position,
                "randomised": shown[0].randomised, "engaged": engaged(feedback, durations.get(video_id, 18.0)),
                "watch_ms": max((act.watch_ms for act in its if act.kind is Kind.WATCH), default=0),
                "liked": Kind.LIKE in kinds, "shared": Kind.SHARE in kinds, "skipped": Kind.SKIP in kinds,
                "shown_ms": shown[0].ts_ms, "feedback": [
                    {"kind": act.kind.value, "ts_ms": act.ts_ms, "watch_ms": act.watch_ms, "position": act.position}
                    for act in done
                ],
            }
        )  # fmt: skip
    nothing = ("video_id", "score", "rank", "scored_position", "position", "randomised", "engaged", "watch_ms", "liked",
               "shared", "skipped", "shown_ms", "feedback")  # fmt: skip
    return rows or [about | dict.fromkeys(nothing)]


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Rows so that those of two joins can be compared."""
    return sorted(rows, key=lambda row: (row["request_id"], row["video_id"] or ""))


def rows_of(tables: Iterable[pa.Table]) -> list[Row]:
    """The rows of observations."""
    return in_order(row for table in tables for row in table.to_pylist())
