"""What a chunk overwrites, noted before: a feeder that dies in the middle leaves a slab that can be made whole.

The memory outlives the process, so the next feeder goes on from exactly the last whole change, with no
restore; the offsets are written after it, and what is read again is known by its offset.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.state.index import Index
from inference.state.layout import CHUNK, META, UNDO_ROWS, Word
from inference.state.slab import META_BLOB, Slab


def fits(slots: int, rows: int) -> bool:
    """Whether the journal has room for a change of so many slots and rows."""
    return slots <= CHUNK and rows <= UNDO_ROWS


def arm(slab: Slab, slots: NDArray[np.int64], metas: NDArray[np.void], positions: NDArray[np.int64]) -> None:
    """Note the slots' metas as they are, and the rows at `positions`, before both change."""
    slab.undo_slots[: len(slots)] = slots
    slab.undo_metas[: len(slots)] = metas.view(META_BLOB)
    slab.undo_positions[: len(positions)] = positions
    slab.undo_rows[: len(positions)] = slab.row_blobs.take(positions)
    slab.words[Word.UNDO_SLOTS] = len(slots)
    slab.words[Word.UNDO_ROWS] = len(positions)
    slab.words[Word.UNDO_ARMED] = 1


def disarm(slab: Slab) -> None:
    """The change is whole."""
    slab.words[Word.UNDO_ARMED] = 0


def repair(slab: Slab, index: Index) -> None:
    """Take back what a dead feeder had begun: its last chunk, an eviction, a change of the index."""
    words, metas = slab.words, slab.metas
    words[Word.READY] = 0
    words[Word.INDEX_VERSION] |= 1
    if words[Word.UNDO_ARMED]:
        slots = slab.undo_slots[: words[Word.UNDO_SLOTS]].astype(np.int64)
        positions = slab.undo_positions[: words[Word.UNDO_ROWS]]
        versions = metas["version"][slots] | 1
        metas["version"][slots] = versions
        slab.row_blobs[positions] = slab.undo_rows[: len(positions)]
        old = slab.undo_metas[: len(slots)].view(META)
        old["version"] = versions
        slab.meta_blobs[slots] = slab.undo_metas[: len(slots)]
        metas["version"][slots] = versions + 1
        disarm(slab)
    used = metas[: slab.used]
    evicted = np.flatnonzero(used["version"] & 1)
    used["count"][evicted] = 0
    used["version"][evicted] += 1
    words[Word.VIEWERS] = np.count_nonzero(used["count"])
    index.rebuild()
