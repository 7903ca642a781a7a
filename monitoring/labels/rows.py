"""Closed requests as a table of observations (`interest.datasets.observations.SCHEMA`), and as Parquet."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from interest.datasets.observations import SCHEMA
from interest.history import KIND_CODES
from interest.records import ENGAGED_WATCH_S, watch_threshold_ms
from monitoring.labels.request import IMPRESSION, LIKED, SHARED, SKIPPED, WATCHED, Counts, Request, Shown

Duration = Callable[[str], float | None]
"""Seconds that a video lasts; None when nobody knows."""
LONGEST_MS = watch_threshold_ms(ENGAGED_WATCH_S)
ASKED = ("request_id", "user_id", "experiment", "arm", "propensity", "model_digest", "ts_ms", "baseline",
         "latency_ms", "failed", "unknown", "state_age_ms")  # fmt: skip
LABELS = ("video_id", "score", "rank", "scored_position", "position", "randomised", "engaged", "watch_ms", "liked",
          "shared", "skipped", "shown_ms", "feedback")  # fmt: skip
KINDS = tuple(kind.value for kind in KIND_CODES)
MISSING = (None,) * len(LABELS)


def table(requests: Sequence[Request], window_ms: int, duration: Duration, counts: Counts) -> pa.Table:
    """One row a video with an impression; a request without any has one row whose `video_id` and labels are null."""
    at: list[int] = []
    rows: list[tuple[object, ...]] = []
    for number, request in enumerate(requests):
        before = len(rows)
        for video_id, shown in request.shown.items():
            if shown.seen & IMPRESSION:
                rows.append(_row(request, video_id, shown, duration, counts))
            else:
                counts.without_impression += 1
        if len(rows) == before:
            rows.append(MISSING)
            counts.missing_requests += 1
        else:
            counts.labelled_requests += 1
        at.extend([number] * (len(rows) - before))
    counts.rows += len(rows)
    made = {name: _array(name, [getattr(one.asked, name) for one in requests]) for name in ASKED}
    made["logged_ms"] = _array("logged_ms", [request.logged_ms for request in requests])
    made["candidates"] = _array("candidates", [len(request.candidates) for request in requests])
    made["label_age_ms"] = _array("label_age_ms", [window_ms] * len(requests))
    place = pa.array(at, pa.int64())
    made = {name: column.take(place) for name, column in made.items()}
    made |= {name: _array(name, values) for name, values in zip(LABELS, zip(*rows, strict=True), strict=True)}
    return pa.table([made[name] for name in SCHEMA.names], schema=SCHEMA)


def parquet(rows: pa.Table) -> bytes:
    """The table as a file."""
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd")
    return sink.getvalue()


def _row(request: Request, video_id: str, shown: Shown, duration: Duration, counts: Counts) -> tuple[object, ...]:
    seen = shown.seen
    scored: tuple[float | None, int | None, int | None] = (None, None, None)
    if video_id in request.candidates:
        at = request.candidates.index(video_id)
        score = request.scores[at]
        rank = 1 + int((np.frombuffer(request.scores, np.float32) > score).sum())
        scored = (score, rank, request.positions[min(at, len(request.positions) - 1)])
    else:
        counts.foreign_videos += 1
    seconds = duration(video_id)
    if seconds is None:
        counts.unknown_durations += 1
    least_ms = LONGEST_MS if seconds is None else watch_threshold_ms(seconds)
    liked, shared = bool(seen & LIKED), bool(seen & SHARED)
    engaged = liked or shared or (bool(seen & WATCHED) and shown.watch_ms >= least_ms)
    return (video_id, *scored, shown.position, shown.randomised, engaged, shown.watch_ms, liked, shared,
            bool(seen & SKIPPED), shown.shown_ms, _feedback(shown))  # fmt: skip


def _feedback(shown: Shown) -> list[dict[str, object]]:
    """What was done about the video, by time, then by kind, so that it does not depend on the order of reading."""
    numbers = shown.feedback
    done = sorted(zip(numbers[::4], numbers[1::4], numbers[2::4], numbers[3::4], strict=True))
    return [
        {"kind": KINDS[code], "ts_ms": ts_ms, "watch_ms": watch_ms, "position": position}
        for ts_ms, code, watch_ms, position in done
    ]


def _array(name: str, values: Sequence[object]) -> pa.Array:
    kind = SCHEMA.field(name).type
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    return pa.array(values, kind)
