"""One viewer's rows as the events make them, one by one: the definition that every store keeps to.

An event goes in by (ts, offset); one that is there already (same event, time and video) does not count; of more
than 100 the newest stay. `rebuild` makes any state of the past again from the topic's records.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable
from enum import Enum, auto

import numpy as np

from inference.state.intake import take_in
from interest.history import HISTORY
from interest.viewer_rows import ROW, Rows
from wire.kafka import Record

SIZE = ROW.itemsize
FULL_BYTES = HISTORY * SIZE
TIME = struct.Struct("<q")
TIME_AT = 8
IDENTITY = slice(0, 16)
"""Video and time; the event's key lies at EVENT."""
EVENT = slice(20, 24)


class Place(Enum):
    """Where an event went."""

    END = auto()
    MIDDLE = auto()
    NOWHERE = auto()
    TWICE = auto()


def insert(timeline: bytearray, row: bytes) -> Place:
    """Put an event's row into a viewer's rows, which are oldest first, and all of smaller offsets."""
    count = len(timeline) // SIZE
    (ts_ms,) = TIME.unpack_from(row, TIME_AT)

    def at(place: int) -> int:
        return int(TIME.unpack_from(timeline, place * SIZE + TIME_AT)[0])

    place = count if not count or at(count - 1) <= ts_ms else bisect_right(range(count), ts_ms, key=at)
    before = place - 1
    while before >= 0 and at(before) == ts_ms:
        other = timeline[before * SIZE : before * SIZE + SIZE]
        if other[IDENTITY] == row[IDENTITY] and other[EVENT] == row[EVENT]:
            return Place.TWICE
        before -= 1
    if count == HISTORY:
        if place == 0:
            return Place.NOWHERE
        del timeline[:SIZE]
        timeline[(place - 1) * SIZE : (place - 1) * SIZE] = row
    else:
        timeline[place * SIZE : place * SIZE] = row
    return Place.END if place == count else Place.MIDDLE


def rebuild(records: Iterable[Record], user_id: str, since: int, offset: int) -> Rows:
    """The rows that the viewer had when their state said `since` and `offset`.

    `records` are those of the viewer's partition of the topic, at least those of `since` up to before `offset`.
    """
    key = user_id.encode()
    wanted = {one.offset: one for one in records if one.key == key and since <= one.offset < offset}
    intake = take_in([wanted[number] for number in sorted(wanted)])
    timeline = bytearray()
    for row in intake.rows:
        insert(timeline, row.tobytes())
    return np.frombuffer(bytes(timeline), ROW)
