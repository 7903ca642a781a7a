"""Finds slots by viewers' keys: open addressing with linear probing, at most half full, many keys at once.

A cell holds a slot's number plus one, or 0. Removing shifts the entries behind it back (Knuth, TAOCP 6.4,
algorithm R), so that no cells are lost to deletions; the header's index version is odd meanwhile.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.state.layout import Word
from inference.state.slab import Slab
from interest.viewer_rows import Keys

Slots = NDArray[np.int64]


class Index:
    """The index of a slab's slots; only the writer has one, readers probe by themselves."""

    def __init__(self, slab: Slab) -> None:
        self._slab = slab
        self._cells = slab.cells
        self._size = len(slab.cells)

    def find(self, high: Keys, low: Keys) -> Slots:
        """The slot of each key [N], -1 where there is none."""
        found = np.full(len(low), -1, np.int64)
        asked = np.arange(len(low))
        position = self._home(low)
        while len(asked):
            slot = self._cells.take(position).astype(np.int64) - 1
            inside = slot >= 0
            if not inside.all():
                asked, position, slot = asked[inside], position[inside], slot[inside]
                high, low = high[inside], low[inside]
            meta = self._slab.meta_blobs.take(slot).view(self._slab.metas.dtype)
            same = (meta["low"] == low) & (meta["high"] == high)
            found[asked[same]] = slot[same]
            other = ~same
            asked, position = asked[other], self._after(position[other])
            high, low = high[other], low[other]
        return found

    def insert(self, low: Keys, slots: Slots) -> None:
        """Enter slots [N] whose keys, all different, are in their metas and not in the index."""
        position = self._home(low)
        entry = (slots + 1).astype(np.uint32)
        while len(entry):
            free = self._cells.take(position) == 0
            self._cells[position[free]] = entry[free]
            lost = self._cells.take(position) != entry
            position, entry = self._after(position[lost]), entry[lost]

    def remove(self, slots: Slots) -> None:
        """Take slots out whose keys are still in their metas."""
        words = self._slab.words
        homes = self._home(self._slab.metas["low"][slots])
        words[Word.INDEX_VERSION] += 1
        try:
            for slot, home in zip(slots.tolist(), homes.tolist(), strict=True):
                self._remove(slot + 1, home)
        finally:
            words[Word.INDEX_VERSION] += 1

    def rebuild(self) -> None:
        """Enter all slots that hold a viewer into an emptied index."""
        words = self._slab.words
        words[Word.INDEX_VERSION] |= 1
        self._cells[:] = 0
        slots = np.flatnonzero(self._slab.metas["count"][: self._slab.used])
        self.insert(self._slab.metas["low"][slots], slots)
        words[Word.INDEX_VERSION] += 1

    def _remove(self, entry: int, position: int) -> None:
        cells, size, low = self._cells, self._size, self._slab.metas["low"]
        while cells[position] != entry:
            if not cells[position]:
                raise LookupError(f"slot {entry - 1} is not in the index")
            position = position + 1 if position + 1 < size else 0
        hole = position
        while True:
            position = position + 1 if position + 1 < size else 0
            behind = int(cells[position])
            if not behind:
                break
            home = (int(low[behind - 1]) >> 32) * size >> 32
            if (position - home) % size >= (position - hole) % size:
                cells[hole] = behind
                hole = position
        cells[hole] = 0

    def _home(self, low: Keys) -> Slots:
        home: Slots = ((low >> np.uint64(32)) * np.uint64(self._size) >> np.uint64(32)).astype(np.int64)
        return home

    def _after(self, position: Slots) -> Slots:
        position += 1
        position[position == self._size] = 0
        return position
