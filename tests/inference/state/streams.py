"""Random streams of events, as records, and what they make of a viewer by a plain sort."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from inference.state.apply import SlabWriter
from inference.state.layout import Layout, Phase, Word
from inference.state.slab import create
from interest.records import FEEDBACK, Event, Kind
from interest.viewer_rows import ROW, Rows, row
from wire.kafka import EVENTS, Record, partition_of
from wire.objects import ObjectStore

PARTITIONS = 3
BEGIN_MS = 1_700_000_000_000
encode = msgspec.json.Encoder().encode


def event(user_id: str, ts_ms: int = BEGIN_MS, event_id: str = "e1", kind: Kind = Kind.WATCH, **more: object) -> Event:
    """An event of which only what matters is said."""
    values = {"video_id": "v1", "request_id": "r1", "watch_ms": 1000, "position": 1, **more}
    return Event(user_id=user_id, ts_ms=ts_ms, event_id=event_id, kind=kind, **values)  # type: ignore[arg-type]


class Topic:
    """Records as a broker would hold them: murmur2 partitions, offsets that count up, one clock."""

    def __init__(self, partitions: int = PARTITIONS) -> None:
        self.partitions = partitions
        self.records: list[Record] = []
        self._next: dict[int, int] = defaultdict(int)

    def add(self, one: Event, ts_ms: int | None = None) -> Record:
        """Append an event, received at `ts_ms` (its own time)."""
        return self.add_raw(one.user_id.encode(), encode(one), one.ts_ms if ts_ms is None else ts_ms)

    def add_raw(
        self, key: bytes | None, value: bytes | None, ts_ms: int = BEGIN_MS, partition: int | None = None
    ) -> Record:
        """Append any record."""
        partition = partition_of(key or b"", self.partitions) if partition is None else partition
        record = Record(EVENTS, partition, self._next[partition], ts_ms, key, value)
        self._next[partition] += 1
        self.records.append(record)
        return record


def random_topic(seed: int, size: int, viewers: int, *, steady: float = 0.6, partitions: int = PARTITIONS) -> Topic:
    """Events of which a share `1 - steady` is late, of equal time, or sent again; some are impressions."""
    draw = random.Random(seed)
    topic = Topic(partitions)
    past: list[Event] = []
    for number in range(size):
        now_ms = BEGIN_MS + 10 * number
        chance = draw.random()
        if past and chance > steady + (1 - steady) * 0.7:
            topic.add(draw.choice(past[-400:]), now_ms)
            continue
        ts_ms = now_ms
        if chance > steady:
            ts_ms = draw.choice([now_ms - draw.randrange(3000), BEGIN_MS + 1000 * (number // 100)])
        one = event(
            f"u{min(draw.randrange(viewers), draw.randrange(viewers))}",
            ts_ms,
            f"e{number}",
            draw.choice([*FEEDBACK, Kind.IMPRESSION]),
            video_id=f"v{draw.randrange(30)}",
            watch_ms=draw.randrange(-5, 70_000),
            position=draw.randrange(0, 40),
        )
        past.append(one)
        topic.add(one, now_ms)
    return topic


def expected(records: Iterable[Record], user_id: str) -> Rows:
    """A viewer's rows by the definition, event by event, with a plain list, sort and comparison of whole events."""
    kept: list[tuple[int, int, tuple[int, ...]]] = []
    for record in records:
        if record.key != user_id.encode():
            continue
        one = msgspec.json.decode(record.value or b"", type=Event)
        if one.kind is Kind.IMPRESSION:
            continue
        values = row(one)
        if any((old[0], old[3], old[1]) == (values[0], values[3], values[1]) for *_, old in kept):
            continue
        kept = sorted([*kept, (one.ts_ms, record.offset, values)])[-100:]
    return np.array([values for *_, values in kept], ROW)


def batches(records: list[Record], draw: random.Random, largest: int) -> Iterator[list[Record]]:
    """The records cut at random places."""
    begin = 0
    while begin < len(records):
        size = draw.randrange(1, largest + 1)
        yield records[begin : begin + size]
        begin += size


@contextmanager
def writing(folder: Path, capacity: int = 1000, partitions: int = PARTITIONS) -> Iterator[SlabWriter]:
    """A writer of a new serving slab."""
    slab = create(folder, Layout(capacity))
    slab.words[Word.STATE] = Phase.SERVING
    writer = SlabWriter(slab, partitions)
    try:
        yield writer
    finally:
        slab.let_go()


def without_checkpoints(store: ObjectStore) -> ObjectStore:
    """The store, after all checkpoints in it were removed; a bucket a test would be more than SeaweedFS holds."""
    for key in list(store.list("state/")):
        store.delete(key)
    return store
