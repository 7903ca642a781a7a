"""The newest 100 events of each viewer in Bytewax, with its recovery on; prints seconds and records as JSON.

python -m benchmarks.peers.bytewax_app 127.0.0.1:9092 /recovery/folder 10

It reads the whole topic `events` once, decodes as ours does, and keeps a deque a viewer by the operator that takes
batches, Bytewax's quickest. It neither orders nor looks for duplicates, and nobody can read its state.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import msgspec
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import run_main

from interest.history import HISTORY
from interest.records import Event

BATCH = 1000
decode = msgspec.json.Decoder(Event).decode
Row = tuple[str, int, int, str, int, str]


class Seen:
    """When the first record came and the last was kept, and how many."""

    def __init__(self) -> None:
        self.records = 0
        self.first_s = self.last_s = 0.0


SEEN = Seen()


class Newest(StatefulBatchLogic[Row, None, list[Row]]):
    """One viewer's newest events."""

    def __init__(self, resumed: list[Row] | None) -> None:
        self.rows: deque[Row] = deque(resumed or (), HISTORY)

    def on_batch(self, values: list[Row]) -> tuple[list[None], bool]:
        self.rows.extend(values)
        SEEN.records += len(values)
        SEEN.last_s = time.perf_counter()
        return [], False

    def snapshot(self) -> list[Row]:
        return list(self.rows)


class Nowhere(DynamicSink[Any]):
    """Takes what never comes."""

    def build(self, *_: Any) -> StatelessSinkPartition[Any]:
        return _Nothing()


class _Nothing(StatelessSinkPartition[Any]):
    def write_batch(self, items: list[Any]) -> None:
        pass


def keyed(messages: list[Any]) -> list[tuple[str, Row]]:
    """Messages as (viewer, row)."""
    SEEN.first_s = SEEN.first_s or time.perf_counter()
    events = [decode(message.value) for message in messages]
    return [
        (one.user_id, (one.video_id, one.ts_ms, one.watch_ms, one.kind.value, one.position, one.event_id))
        for one in events
    ]


def main() -> None:
    """Run to the topic's end."""
    bootstrap, folder, interval_s = sys.argv[1:]
    init_db_dir(Path(folder), 1)
    flow = Dataflow("newest")
    messages = op.input("events", flow, KafkaSource([bootstrap], ["events"], tail=False, batch_size=BATCH))
    rows = op.flat_map_batch("decode", messages, keyed)
    kept = op.stateful_batch("newest", rows, Newest)
    op.output("nowhere", kept, Nowhere())
    run_main(flow, epoch_interval=timedelta(seconds=float(interval_s)), recovery_config=RecoveryConfig(folder))
    print(json.dumps({"seconds": SEEN.last_s - SEEN.first_s, "records": SEEN.records}))


if __name__ == "__main__":
    main()
