"""Viewers' states in a Valkey, for more viewers than one machine's memory holds; same rows, same offsets.

A viewer is one value, META then the rows, oldest first; a batch's viewers and its offsets change in one transaction.
Viewers expire after 90 days without events, so `maxmemory-policy volatile-lru` evicts them and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import valkey

from inference.state.errors import InvalidStateSettings, StateUnavailable
from inference.state.intake import Intake, take_in
from inference.state.layout import ROW_BYTES
from inference.state.tally import Bury, Tally, ignore
from inference.state.timeline import insert
from inference.state.viewer_state import NO_STATE, UNKNOWN_VIEWER, Freshness, ViewerState
from interest.viewer_rows import ROW, user_key
from wire.kafka import Record, partition_of

VIEWER = b"rapt:viewer:"
OFFSETS = "rapt:feeder:offsets"
FEEDER = "rapt:feeder:beat"
EXPIRES_S = 90 * 86_400
ALIVE_MS = 2000
CHUNK = 2048
ANSWER_S = 2.0
HEAD = np.dtype([("last_offset", "<i8"), ("since", "<i8"), ("partition", "<i8")])


@dataclass
class _Viewer:
    """A viewer's value, taken apart."""

    last_offset: int
    since: int
    partition: int
    timeline: bytearray

    @classmethod
    def of(cls, value: bytes | None, partition: int) -> _Viewer:
        if value is None:
            return cls(-1, -1, partition, bytearray())
        last_offset, since, partition = np.frombuffer(value, HEAD, 1)[0].item()
        return cls(last_offset, since, partition, bytearray(value[HEAD.itemsize :]))

    def value(self) -> bytes:
        head = np.array([(self.last_offset, self.since, self.partition)], HEAD)
        return head.tobytes() + bytes(self.timeline)


class ValkeyWriter:
    """A `StateWriter` of the Valkey at `address` (host:port)."""

    def __init__(self, address: str, partitions: int = 0) -> None:
        self.partitions = partitions
        self._client = _client(address)

    @property
    def viewers(self) -> int:
        """Viewers that have a state: all keys but the feeder's own; the database is to be ours alone."""
        with _named():
            return int(self._client.dbsize()) - int(self._client.exists(OFFSETS, FEEDER))

    @property
    def evictions(self) -> int:
        """Viewers that the server evicted, since it started."""
        with _named():
            return int(self._client.info("stats")["evicted_keys"])

    def offsets(self) -> dict[int, int]:
        """The next offset of each partition of which something was read."""
        with _named():
            found = self._client.hgetall(OFFSETS)
        return {int(partition): int(offset) for partition, offset in found.items()}

    def beat(self, now_ms: int, fresh_at_ms: int, lag: int, *, ready: bool) -> None:
        """Let readers know how far the state is."""
        beat = {"heartbeat_ms": now_ms, "fresh_at_ms": fresh_at_ms, "lag": lag, "ready": int(ready)}
        with _named():
            self._client.hset(FEEDER, mapping=beat)

    def clear(self) -> None:
        """Forget all viewers and offsets."""
        with _named():
            for key in self._client.scan_iter(match=VIEWER + b"*", count=1000):
                self._client.delete(key)
            self._client.delete(OFFSETS)

    def apply(self, records: Sequence[Record], bury: Bury = ignore) -> Tally:
        """Take records in, those of a partition in the order of their offsets."""
        tally = Tally()
        for begin in range(0, len(records), CHUNK):
            tally += self._apply(records[begin : begin + CHUNK], bury)
        return tally

    def _apply(self, records: Sequence[Record], bury: Bury) -> Tally:
        intake = take_in(records)
        tally = Tally(len(records), len(intake.rows), intake.impressions, rejected=intake.rejected)
        tally.last = {record.partition: record for record in records}
        changed = self._changed(intake, tally)
        if tally.rejected:
            bury(tally.rejected)
        with _named(), self._client.pipeline(transaction=True) as pipeline:
            for key, viewer in changed.items():
                pipeline.set(key, viewer.value(), ex=EXPIRES_S)
            pipeline.hset(OFFSETS, mapping={number: record.offset + 1 for number, record in tally.last.items()})
            pipeline.execute()
        return tally

    def _changed(self, intake: Intake, tally: Tally) -> dict[bytes, _Viewer]:
        keys = [VIEWER + user_key(user) for user in intake.users]
        distinct = list(dict.fromkeys(keys))
        with _named():
            values = self._client.mget(distinct) if distinct else []
        first = dict(zip(reversed(keys), reversed(intake.partition.tolist()), strict=True))
        viewers = {key: _Viewer.of(value, first[key]) for key, value in zip(distinct, values, strict=True)}
        raw = intake.rows.tobytes()
        changed: dict[bytes, _Viewer] = {}
        for number, (key, partition, offset) in enumerate(
            zip(keys, intake.partition.tolist(), intake.offset.tolist(), strict=True)
        ):
            viewer = viewers[key]
            if partition != viewer.partition:
                right = partition_of(intake.users[number], self.partitions)
                if partition != right:
                    reason = f"in partition {partition}, its key belongs in {right}: partition by murmur2 of the key"
                    tally.rejected.append((intake.records[number], reason))
                    continue
                viewer = viewers[key] = _Viewer.of(None, partition)
                tally.moved += 1
            if offset <= viewer.last_offset:
                tally.seen += 1
                continue
            tally.count(insert(viewer.timeline, raw[number * ROW_BYTES : number * ROW_BYTES + ROW_BYTES]))
            viewer.last_offset = offset
            viewer.since = offset if viewer.since < 0 else viewer.since
            changed[key] = viewer
        return changed


class ValkeyReader:
    """A `StateReader` of the Valkey at `address` (host:port)."""

    def __init__(self, address: str) -> None:
        self._client = _client(address)

    def read(self, user_id: str) -> ViewerState:
        with _named():
            value = self._client.get(VIEWER + user_key(user_id.encode()))
        if value is None:
            return UNKNOWN_VIEWER
        last_offset, since, partition = np.frombuffer(value, HEAD, 1)[0].item()
        return ViewerState(np.frombuffer(value, ROW, offset=HEAD.itemsize), partition, last_offset + 1, since)

    def freshness(self) -> Freshness:
        try:
            with self._client.pipeline(transaction=False) as pipeline:
                beat, size, own = pipeline.hgetall(FEEDER).dbsize().exists(OFFSETS, FEEDER).execute()
        except valkey.ValkeyError:
            return NO_STATE
        if not beat:
            return NO_STATE
        now_ms = int(time.time() * 1000)
        alive = now_ms - int(beat[b"heartbeat_ms"]) < ALIVE_MS
        return Freshness(
            age_ms=max(0, now_ms - int(beat[b"fresh_at_ms"])),
            lag=int(beat[b"lag"]),
            viewers=int(size) - int(own),
            ready=alive and beat[b"ready"] == b"1",
            alive=alive,
        )


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except valkey.ValkeyError as error:
        raise StateUnavailable(f"the Valkey of the viewers' states fails: {error}; see RAPT_STATE_VALKEY") from error


def _client(address: str) -> Any:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise InvalidStateSettings(f"RAPT_STATE_VALKEY={address!r} is not of the form host:port")
    return valkey.Valkey(host, int(port), socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S)
