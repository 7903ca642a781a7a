"""What the public layouts have in common: a log row is one impression together with the feedback on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from interest.datasets.events import SCHEMA, sort_events
from interest.records import ENGAGED_WATCH_S, Kind

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

UNKNOWN_DURATION_S = ENGAGED_WATCH_S
"""Length given to a video whose layout does not tell it: the threshold of a long view then holds for it."""

LATEST_FEEDBACK_MS = 10 * 60 * 1000
"""Feedback is dated at the end of watching, at most so long after the impression."""

FIRST_MS = 1_577_836_800_000
SPAN_MS = 30 * 24 * 3600 * 1000
"""Where logs without times are laid: 30 days from 2020-01-01."""


@dataclass(frozen=True)
class Impressions:
    """Columns [N], one row an impression; `watch_ms` is -1 where the log tells no watching time.

    Where `shown` is false there is feedback alone: something the viewer did, but no outcome to learn from.
    """

    users: pa.Array
    videos: pa.Array
    ts_ms: Ints
    watch_ms: Ints
    liked: Bools
    shared: Bools
    skipped: Bools
    shown: Bools
    randomised: Bools

    def __len__(self) -> int:
        return len(self.ts_ms)

    def events(self, layout: str) -> pa.Table:
        """The canonical table: an impression each, and a row for each kind of feedback on it.

        All rows of log row 7 have the request id `<layout>-7`, its like the event id `<layout>-7-like`.
        """
        ended = self.ts_ms + np.clip(self.watch_ms, 1, LATEST_FEEDBACK_MS)
        return sort_events(
            pa.concat_tables(
                [
                    self._rows(layout, Kind.IMPRESSION, self.shown, self.ts_ms),
                    self._rows(layout, Kind.WATCH, self.watch_ms >= 0, ended),
                    self._rows(layout, Kind.LIKE, self.liked, ended),
                    self._rows(layout, Kind.SHARE, self.shared, ended),
                    self._rows(layout, Kind.SKIP, self.skipped, ended),
                ]
            )
        )

    def _rows(self, layout: str, kind: Kind, mask: Bools, ts_ms: Ints) -> pa.Table:
        rows = np.flatnonzero(mask)
        request = pc.binary_join_element_wise(layout, pa.array(rows).cast(pa.string()), "-")
        watch_ms = self.watch_ms[rows] if kind is Kind.WATCH else np.zeros(len(rows), np.int64)
        columns = {
            "event_id": pc.binary_join_element_wise(request, kind.value, "-"),
            "user_id": self.users.take(pa.array(rows)),
            "video_id": self.videos.take(pa.array(rows)),
            "request_id": request,
            "ts_ms": ts_ms[rows],
            "kind": pa.repeat(kind.value, len(rows)),
            "watch_ms": watch_ms,
            "position": np.ones(len(rows), np.int64),
            "randomised": self.randomised[rows],
        }
        return pa.table({name: columns[name] for name in SCHEMA.names}, schema=SCHEMA)


def concat(parts: Sequence[Impressions]) -> Impressions:
    """The rows of all parts, one after the other."""

    def joined(name: str) -> object:
        columns = [getattr(part, name) for part in parts]
        return pa.concat_arrays(columns) if isinstance(columns[0], pa.Array) else np.concatenate(columns)

    return Impressions(**{field.name: joined(field.name) for field in fields(Impressions)})  # type: ignore[arg-type]


def spread(users: NDArray[np.int64]) -> Ints:
    """Times in ms for a log that has an order but no times; `users` [N] are codes, each user's rows in order.

    Every user's rows lie evenly in the same 30 days, so that a split by time cuts each user's sequence alike.
    """
    order = np.argsort(users, kind="stable")
    _, starts, counts = np.unique(users[order], return_index=True, return_counts=True)
    place = np.empty(len(users), np.int64)
    place[order] = np.arange(len(users)) - np.repeat(starts, counts)
    count = np.empty(len(users), np.int64)
    count[order] = np.repeat(counts, counts)
    return FIRST_MS + (place + 1) * SPAN_MS // (count + 1)


def duration_s(duration_ms: float | None) -> float:
    """Seconds of a length in ms; `UNKNOWN_DURATION_S` for none, zero or less."""
    return duration_ms / 1000 if duration_ms is not None and duration_ms > 0 else UNKNOWN_DURATION_S
