"""A piece of a checkpoint: some viewers' metas, then their rows packed without gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

from inference.state.errors import CheckpointDamaged
from inference.state.layout import META, ROW_BYTES, SEGMENT, SLOT_ROWS_BYTES
from inference.state.slab import ROW_BLOB, Slab
from interest.history import HISTORY


@dataclass(frozen=True)
class Copied:
    """A segment's slots as they were at one moment between two changes."""

    metas: NDArray[np.void]
    rows: bytes


def copied(slab: Slab, number: int) -> Copied:
    """A copy of the slots of segment `number`; takes about 5 ms."""
    begin, end = number * SEGMENT, min((number + 1) * SEGMENT, slab.used)
    return Copied(slab.metas[begin:end].copy(), bytes(slab.row_bytes[begin * SLOT_ROWS_BYTES : end * SLOT_ROWS_BYTES]))


def packed(copy: Copied) -> tuple[int, bytes]:
    """How many viewers are in it, and their bytes."""
    metas = copy.metas[copy.metas["count"] > 0]
    metas["version"] = 0
    held = np.arange(HISTORY) < copy.metas["count"][:, None]
    if held.all():
        return len(metas), metas.tobytes() + copy.rows
    return len(metas), metas.tobytes() + np.frombuffer(copy.rows, ROW_BLOB)[held.ravel()].tobytes()


def unpacked(data: bytes, viewers: int) -> tuple[NDArray[np.void], bytes | memoryview]:
    """The metas and the bytes of all their slots' rows; raises CheckpointDamaged."""
    size = viewers * META.itemsize
    if len(data) < size:
        raise CheckpointDamaged(f"a segment of {len(data)} bytes cannot hold {viewers} viewers")
    metas = np.frombuffer(data, META, viewers)
    rows = memoryview(data)[size:]
    if len(rows) != int(metas["count"].sum(dtype=np.int64)) * ROW_BYTES:
        raise CheckpointDamaged(
            f"a segment of {len(data)} bytes does not have the rows that its {viewers} viewers name"
        )
    held = np.arange(HISTORY) < metas["count"][:, None]
    if held.all():
        return metas, rows
    spread = np.zeros(viewers * HISTORY, ROW_BLOB)
    spread[held.ravel()] = np.frombuffer(rows, ROW_BLOB)
    return metas, spread.tobytes()


def digest(data: bytes) -> str:
    """The name of some content."""
    return xxhash.xxh3_128_hexdigest(data)
