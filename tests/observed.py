"""Observations as the joiner writes them, made by tests: of rows of theirs, or of a model's simulated viewers."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from interest.bundle import Bundle
from interest.catalog import Catalog
from interest.datasets.observations import SCHEMA
from interest.history import HISTORY, Feedback, moment, outcomes
from interest.records import engaged
from interest.scoring import Scorer
from interest.simulator.audience import Audience
from interest.simulator.world import VideoLatents
from wire import observations
from wire.objects import ObjectStore
from wire.observations import ArmTally, Commit, Place, Segment

VIEWERS, PAGE, CANDIDATES, RANDOMISED = 700, 5, 30, 0.2


def observe(
    store: ObjectStore, seq: int, bundle: Bundle, catalog: Catalog, latents: VideoLatents, seed: int, **constants: float
) -> None:
    """Every viewer asks the model once, without a history, in a world of these constants; a commit of what they did."""
    audience = Audience(catalog, latents, VIEWERS, seed)
    audience.shift(**constants)
    rng = np.random.default_rng(seed)
    nothing = Feedback(*(np.full((1, HISTORY), fill) for fill in (-1, 0, 0, 1, 0)))
    scorer = Scorer(bundle, threads=1)
    state = scorer.encode_all(
        video=nothing.video, kind=nothing.kind, outcome=outcomes(nothing, np.zeros((1, HISTORY))),
        length=np.zeros((1, 1), np.int64),
    )  # fmt: skip
    now = moment(np.array([-1]), np.array([0]))[:, None]
    rows: list[dict[str, object]] = []
    begin_ms = time.time_ns() // 1_000_000
    for viewer in range(VIEWERS):
        asked = rng.choice(len(catalog), CANDIDATES, replace=False)
        score = scorer.score(state, now, asked[None], np.ones((1, CANDIDATES), np.int64)).probability[0]
        drawn = bool(rng.random() < RANDOMISED)
        order = np.arange(CANDIDATES) if drawn else np.argsort(-score)
        at_ms, request = begin_ms + 5 * viewer, f"{seed}-{viewer}"
        shown = [catalog.videos[asked[place]].video_id for place in order[:PAGE]]
        reaction = audience.react(viewer, shown, at_ms, request_id=request, randomised=drawn)
        for number, place in enumerate(order[:PAGE]):
            done, seconds = reaction.events[2 * number + 1], catalog[shown[number]].duration_s
            rows.append(
                {
                    "request_id": request, "user_id": f"{seed}-{viewer}", "arm": "stable", "propensity": 1.0,
                    "model_digest": bundle.digest, "ts_ms": at_ms, "logged_ms": at_ms, "candidates": CANDIDATES,
                    "unknown": 0, "label_age_ms": 60_000, "liked": False, "shared": False,
                    "video_id": shown[number], "score": float(score[place]), "scored_position": 1,
                    "rank": 1 + int((score > score[place]).sum()), "position": number + 1, "randomised": drawn,
                    "engaged": engaged([(done.kind, done.watch_ms)], seconds), "watch_ms": done.watch_ms,
                    "skipped": done.kind.value == "skip",
                    "feedback": [{"kind": done.kind.value, "ts_ms": done.ts_ms, "watch_ms": done.watch_ms,
                                  "position": number + 1}],
                }
            )  # fmt: skip
    commit(store, seq, rows, begin_ms + 60_000)


def commit(
    store: ObjectStore,
    seq: int,
    rows: Sequence[Mapping[str, object]],
    watermark_ms: int,
    *,
    window_ms: int = 1000,
    tallies: Mapping[str, dict[str, ArmTally]] | None = None,
) -> None:
    """Write rows as one segment, the commit that names it, and the head."""
    data = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA), data)
    body = data.getvalue()
    key = observations.segment_key("1970-01-01", seq)
    store.put_bytes(key, body)
    made = Commit(
        seq=seq, writer="test", window_ms=window_ms, written_ms=time.time_ns() // 1_000_000,
        places={0: Place(watermark_ms=watermark_ms, replay=(0, 0), read=(0, 0))},
        segments=(Segment(key=key, rows=len(rows), sha256=hashlib.sha256(body).hexdigest()),),
        tallies=dict(tallies or {}),
    )  # fmt: skip
    store.put_bytes(observations.key(seq), msgspec.json.encode(made))
    store.put_bytes(observations.HEAD, msgspec.json.encode(made))
