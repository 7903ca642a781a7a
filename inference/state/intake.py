"""Turns records of the topic `events` into rows, and tells which records cannot be used and why.

Columns are made for all records at once; when one of them does not fit, each is looked at by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from interest.history import KIND_CODES
from interest.records import Event, Kind
from interest.viewer_rows import LARGEST_POSITION, LARGEST_WATCH_MS, ROW, Keys, Rows, row, user_key
from wire.kafka import Record

LARGEST_SKEW_MS = 300_000
"""An event may be so far ahead of its record's time; a clock that is further off would make it the newest forever."""
LARGEST_ID_BYTES = 512
IMPRESSION = 255
CODES = {**KIND_CODES, Kind.IMPRESSION: IMPRESSION}

decode = msgspec.json.Decoder(Event).decode


@dataclass(frozen=True)
class Intake:
    """The feedback events of some records, in their order [N], and what else was among them.

    `records` [N] where they came from, `users` the viewers' ids in UTF-8, `high` and `low` their keys.
    `rejected`: records that are to go to the dead letters, with the reason.
    """

    records: Sequence[Record]
    users: Sequence[bytes]
    high: Keys
    low: Keys
    partition: NDArray[np.int64]
    offset: NDArray[np.int64]
    rows: Rows
    impressions: int
    rejected: list[tuple[Record, str]]

    def part(self, begin: int, end: int) -> Intake:
        """The feedback events from `begin` up to before `end`, and nothing else."""
        cut = slice(begin, end)
        return Intake(
            self.records[cut],
            self.users[cut],
            self.high[cut],
            self.low[cut],
            self.partition[cut],
            self.offset[cut],
            self.rows[cut],
            0,
            [],
        )


def take_in(records: Sequence[Record]) -> Intake:
    """The feedback events in the records."""
    fast = _columns(records)
    return fast if fast is not None else _one_by_one(records)


def _columns(records: Sequence[Record]) -> Intake | None:
    """All at once, None unless every record is fit."""
    if not records:
        return None
    _, partitions, offsets, stamps, users, values, *_ = zip(*records, strict=True)
    keys = list(users)
    try:
        events = list(map(decode, values))
        if list(map(str.encode, [one.user_id for one in events])) != keys:
            return None
        video_ids, event_ids = [one.video_id for one in events], [one.event_id for one in events]
        if not (all(keys) and all(video_ids) and all(event_ids)):
            return None
        if max(map(len, values)) > LARGEST_ID_BYTES and _may_be_long(events):
            return None
        size = len(events)
        ts_ms = np.fromiter([one.ts_ms for one in events], np.int64, size)
        stamp_ms = np.fromiter(stamps, np.int64, size)
        kinds = np.frombuffer(bytes([CODES[one.kind] for one in events]), np.uint8)
        if ts_ms.min() < 0 or (ts_ms > stamp_ms + LARGEST_SKEW_MS).any():
            return None
        partition = np.fromiter(partitions, np.int64, size)
        offset = np.fromiter(offsets, np.int64, size)
        feedback = kinds != IMPRESSION
        if not feedback.all():
            records, events, keys, video_ids, event_ids = (
                list(compress(one, feedback)) for one in (records, events, keys, video_ids, event_ids)
            )
            ts_ms, kinds, partition, offset = (one[feedback] for one in (ts_ms, kinds, partition, offset))
        rows = np.zeros(len(events), ROW)
        watch_ms = np.fromiter([one.watch_ms for one in events], np.int64, len(events))
        position = np.fromiter([one.position for one in events], np.int64, len(events))
        rows["video"] = np.frombuffer(b"".join(map(xxhash.xxh3_64_digest, map(str.encode, video_ids))), ">u8")
        rows["event"] = np.frombuffer(b"".join(map(xxhash.xxh32_digest, map(str.encode, event_ids))), ">u4")
    except (msgspec.DecodeError, TypeError, OverflowError, UnicodeEncodeError):
        return None
    rows["ts_ms"] = ts_ms
    rows["watch_ms"] = np.clip(watch_ms, 0, LARGEST_WATCH_MS)
    rows["position"] = np.clip(position, 1, LARGEST_POSITION)
    rows["kind"] = kinds
    high, low = _keys(keys)
    return Intake(records, keys, high, low, partition, offset, rows, size - len(rows), [])


def _may_be_long(events: list[Event]) -> bool:
    """Whether an id might have too many bytes in UTF-8, which takes up to four for a character."""
    longest = (max(len(one.user_id), len(one.event_id), len(one.video_id), len(one.request_id)) for one in events)
    return max(longest) * 4 > LARGEST_ID_BYTES


def _one_by_one(records: Sequence[Record]) -> Intake:
    rejected: list[tuple[Record, str]] = []
    kept: list[tuple[Record, Event]] = []
    impressions = 0
    for record in records:
        event = _checked(record)
        if isinstance(event, str):
            rejected.append((record, event))
        elif event.kind is Kind.IMPRESSION:
            impressions += 1
        else:
            kept.append((record, event))
    users = [event.user_id.encode() for _, event in kept]
    high, low = _keys(users)
    return Intake(
        [record for record, _ in kept],
        users,
        high,
        low,
        np.array([record.partition for record, _ in kept], np.int64),
        np.array([record.offset for record, _ in kept], np.int64),
        np.array([row(event) for _, event in kept], ROW),
        impressions,
        rejected,
    )


def _checked(record: Record) -> Event | str:
    """The record's event, or why it is none that can be used."""
    if record.value is None:
        return "no value"
    try:
        event = decode(record.value)
    except msgspec.DecodeError as error:
        return f"not an event: {error}"
    ids = {name: getattr(event, name) for name in ("user_id", "event_id", "video_id")}
    try:
        sizes = {name: len(text.encode()) for name, text in (*ids.items(), ("request_id", event.request_id))}
    except UnicodeEncodeError as error:
        return f"not an event: {error}"
    for name, size in sizes.items():
        if size > LARGEST_ID_BYTES:
            return f"{name} of {size} bytes, {LARGEST_ID_BYTES} are allowed"
        if not size and name in ids:
            return f"{name} is empty"
    if record.key != event.user_id.encode():
        return f"the record's key {record.key!r} is not the event's user_id {event.user_id!r}"
    if event.ts_ms < 0:
        return f"ts_ms {event.ts_ms} is negative"
    if event.ts_ms > record.ts_ms + LARGEST_SKEW_MS:
        ahead_s = (event.ts_ms - record.ts_ms) / 1000
        return f"ts_ms {event.ts_ms} is {ahead_s:g} s ahead of the record's {record.ts_ms}: the sender's clock is wrong"
    return event


def _keys(user_ids: Sequence[bytes]) -> tuple[Keys, Keys]:
    both = np.frombuffer(b"".join(map(user_key, user_ids)), ">u8").astype(np.uint64).reshape(-1, 2)
    return both[:, 0], both[:, 1]
