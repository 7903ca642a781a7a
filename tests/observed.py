"""Observations as the joiner writes them, made by tests."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Mapping, Sequence

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from interest.datasets.observations import SCHEMA
from wire import observations
from wire.objects import ObjectStore
from wire.observations import ArmTally, Commit, Place, Segment


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
