"""A viewer's history as packed rows: what the state keeps in memory and what the predictor is sent.

A row holds keys instead of ids, so that it has a fixed size and outlives any one model's catalogue.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xxhash
from numpy.typing import NDArray

from interest.history import Feedback, kind_code
from interest.records import Event

ROW = np.dtype(
    [
        ("video", "<u8"),
        ("ts_ms", "<i8"),
        ("watch_ms", "<u4"),
        ("event", "<u4"),
        ("position", "<u2"),
        ("kind", "u1"),
        ("spare", "u1"),
    ]
)
"""One feedback event, 28 bytes: `video` a `video_key`, `event` an `event_key`, `kind` a `history.kind_code`."""

LARGEST_WATCH_MS = 2**32 - 1
LARGEST_POSITION = 2**16 - 1

Rows = NDArray[np.void]
Keys = NDArray[np.uint64]


def video_key(video_id: str) -> int:
    """A video's 64-bit key (XXH3); two of a million videos share one with a chance of 3e-8."""
    return xxhash.xxh3_64_intdigest(video_id.encode())


def user_key(user_id: bytes) -> bytes:
    """A viewer's 128-bit key (XXH3) from the id in UTF-8, which is the key of their messages."""
    return xxhash.xxh3_128_digest(user_id)


def event_key(event_id: str) -> int:
    """32 bits of an event's id: with the time and the video of a row they tell a duplicate."""
    return xxhash.xxh32_intdigest(event_id.encode())


def row(event: Event) -> tuple[int, int, int, int, int, int, int]:
    """The fields of a feedback event's row; raises KeyError for an impression, which is no feedback."""
    return (
        video_key(event.video_id),
        event.ts_ms,
        min(max(event.watch_ms, 0), LARGEST_WATCH_MS),
        event_key(event.event_id),
        min(max(event.position, 1), LARGEST_POSITION),
        kind_code(event.kind),
        0,
    )


def feedback(rows: Rows, catalogue_rows: Callable[[Keys], NDArray[np.int64]]) -> Feedback:
    """Rows [L], oldest first, as the model's input; `catalogue_rows` gives -1 for a video it does not know."""
    return Feedback(
        video=catalogue_rows(rows["video"]),
        kind=rows["kind"].astype(np.int64),
        watch_ms=rows["watch_ms"].astype(np.int64),
        position=rows["position"].astype(np.int64),
        ts_ms=rows["ts_ms"].astype(np.int64),
    )
