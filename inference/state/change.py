"""What a chunk's events make of the slots: computed before anything is written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.state.index import Slots
from inference.state.intake import Intake
from inference.state.layout import META, ROW_BYTES, SLOT_ROWS_BYTES
from inference.state.slab import ROW_BLOB, Slab
from inference.state.tally import Tally
from inference.state.timeline import TIME, TIME_AT, insert
from interest.history import HISTORY


@dataclass(frozen=True)
class Groups:
    """Events sorted by slot, then by offset: `order` [N] into the intake, the groups' `starts` and `slots` [G].

    `group` [N] is each event's group, `metas` [G] the slots' as they are.
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    group: NDArray[np.int64]
    slots: Slots
    metas: NDArray[np.void]


@dataclass(frozen=True)
class Change:
    """Metas [G] to write to `slots` [G], and rows [R] to `positions` [R] of the slab's rows."""

    slots: Slots
    old: NDArray[np.void]
    metas: NDArray[np.void]
    positions: NDArray[np.int64]
    rows: NDArray[np.void]


def grouped(slab: Slab, slots: Slots, order: NDArray[np.int64]) -> Groups:
    """The events in `order`, whose slots are ascending there."""
    of = slots[order]
    first = np.ones(len(of), np.bool_)
    first[1:] = of[1:] != of[:-1]
    starts = np.flatnonzero(first)
    mine = of[starts]
    metas = slab.meta_blobs.take(mine).view(META)
    return Groups(order, starts, np.cumsum(first) - 1, mine, metas)


def change(slab: Slab, intake: Intake, groups: Groups, tally: Tally) -> Change:
    """The metas and rows after the groups' events, none of which a slot has seen before."""
    order, starts, group, old = groups.order, groups.starts, groups.group, groups.metas
    rows = intake.rows.view(ROW_BLOB).take(order)
    ts_ms, offset = intake.rows["ts_ms"][order], intake.offset[order]
    size = np.diff(starts, append=len(order))
    last = starts + size - 1
    ascends = np.empty(len(order), np.bool_)
    ascends[1:] = ts_ms[1:] > ts_ms[:-1]
    ascends[starts] = ts_ms[starts] > old["last_ts_ms"]
    newer = np.logical_and.reduceat(ascends, starts)

    total = old["count"] + size
    count = np.minimum(total, HISTORY)
    new = old.copy()
    new["count"] = count
    new["head"] = (old["head"] + total - count) % HISTORY
    new["last_ts_ms"] = ts_ms[last]
    new["last_offset"] = offset[last]
    new["since"] = np.where(old["since"] < 0, offset[starts], old["since"])

    end = old["head"].astype(np.int64) + old["count"] - starts
    ring = (end[group] + np.arange(len(order))) % HISTORY
    positions = groups.slots[group] * HISTORY + ring
    if not newer.all() or size.max() > HISTORY:
        kept = newer[group] & (np.arange(len(order)) > last[group] - HISTORY)
        positions, rows = positions[kept], rows[kept]
    if not newer.all():
        others = np.flatnonzero(~newer)
        more, data = _one_by_one(slab, intake, groups, others, last, new, tally)
        positions = np.concatenate([positions, more])
        rows = np.concatenate([rows, np.frombuffer(data, ROW_BLOB)])
    return Change(groups.slots, old, new, positions, rows)


def _one_by_one(
    slab: Slab,
    intake: Intake,
    groups: Groups,
    others: NDArray[np.int64],
    last: NDArray[np.int64],
    new: NDArray[np.void],
    tally: Tally,
) -> tuple[NDArray[np.int64], bytes]:
    """Positions and bytes of the rows of groups whose events are not all newer; their metas go into `new`."""
    raw = intake.rows.tobytes()
    order = groups.order.tolist()
    positions, data = [], []
    for number in others.tolist():
        slot = int(groups.slots[number])
        timeline = unrolled(slab, slot, int(groups.metas["count"][number]), int(groups.metas["head"][number]))
        for event in order[groups.starts[number] : last[number] + 1]:
            place = insert(timeline, raw[event * ROW_BYTES : event * ROW_BYTES + ROW_BYTES])
            tally.count(place)
        count = len(timeline) // ROW_BYTES
        (newest_ms,) = TIME.unpack_from(timeline, (count - 1) * ROW_BYTES + TIME_AT)
        new["count"][number], new["head"][number], new["last_ts_ms"][number] = count, 0, newest_ms
        positions.append(np.arange(slot * HISTORY, slot * HISTORY + count))
        data.append(bytes(timeline))
    return np.concatenate(positions), b"".join(data)


def unrolled(slab: Slab, slot: int, count: int, head: int) -> bytearray:
    """A slot's rows, oldest first."""
    begin = slot * SLOT_ROWS_BYTES
    ring = slab.row_bytes[begin : begin + count * ROW_BYTES]
    return bytearray(ring[head * ROW_BYTES :]) + ring[: head * ROW_BYTES]
