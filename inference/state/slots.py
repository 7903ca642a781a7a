"""Gives viewers their slots: a free one, the next of the file, or that of whoever was idle for longest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.state.index import Index, Slots
from inference.state.intake import Intake
from inference.state.layout import META, SEGMENT, Word
from inference.state.slab import META_BLOB, Slab
from interest.viewer_rows import Keys

IDLE = 16_384
"""Viewers that one pass over all slots proposes for eviction."""
REMOVED_AT_ONCE = 64
"""So that readers that look for a viewer who is not there wait for less than a millisecond."""


class Slotting:
    """Slots in use, free ones, and who goes when there is none."""

    def __init__(self, slab: Slab, index: Index, evictions: int = 0) -> None:
        self._slab = slab
        self._index = index
        self._free: list[int] = np.flatnonzero(slab.metas["count"][: slab.used] == 0).tolist()
        self._idle: Slots = np.zeros(0, np.int64)
        self._idle_since: NDArray[np.int64] = np.zeros(0, np.int64)
        self.evictions = evictions

    def enter(self, intake: Intake, slots: Slots) -> Slots:
        """`slots` [N] of the intake's events with new slots where there was none (-1)."""
        missing = np.flatnonzero(slots < 0)
        high, low = intake.high[missing], intake.low[missing]
        order = np.lexsort((missing, low, high))
        high, low, missing = high[order], low[order], missing[order]
        first = np.ones(len(missing), np.bool_)
        first[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
        taken = self._take(int(first.sum()), slots[slots >= 0])
        self._begin(taken, high[first], low[first], intake.partition[missing[first]])
        self._index.insert(low[first], taken)
        self._slab.words[Word.VIEWERS] += len(taken)
        result = slots.copy()
        result[missing] = taken[np.cumsum(first) - 1]
        return result

    def restart(self, slot: int, partition: int) -> None:
        """Let a viewer's history begin again in another partition."""
        meta = self._slab.metas[slot : slot + 1]
        self._begin(np.array([slot]), meta["high"].copy(), meta["low"].copy(), np.array([partition]))

    def _begin(self, slots: Slots, high: Keys, low: Keys, partition: NDArray[np.int64]) -> None:
        """Write the metas of viewers without events."""
        fresh = np.zeros(len(slots), META)
        fresh["last_ts_ms"] = fresh["last_offset"] = fresh["since"] = -1
        fresh["high"], fresh["low"], fresh["partition"] = high, low, partition
        metas = self._slab.metas
        fresh["version"] = metas["version"][slots] | 1
        metas["version"][slots] = fresh["version"]
        self._slab.meta_blobs[slots] = fresh.view(META_BLOB)
        metas["version"][slots] = fresh["version"] + 1
        self._slab.dirty[slots // SEGMENT] = True

    def _take(self, wanted: int, in_use: Slots) -> Slots:
        taken = self._free[:wanted]
        del self._free[:wanted]
        used = self._slab.used
        grown = max(used, self._slab.room(used + wanted - len(taken)))
        taken += range(used, grown)
        self._slab.words[Word.USED] = grown
        short = wanted - len(taken)
        if short:
            taken += self._evict(short, np.concatenate([in_use, np.array(taken, np.int64)])).tolist()
        return np.array(taken, np.int64)

    def _evict(self, wanted: int, in_use: Slots) -> Slots:
        victims = self._propose(wanted, in_use)
        for begin in range(0, len(victims), REMOVED_AT_ONCE):
            self._index.remove(victims[begin : begin + REMOVED_AT_ONCE])
        nobody = np.zeros(len(victims), np.uint64)
        self._begin(victims, nobody, nobody, np.full(len(victims), -1))
        self._slab.words[Word.VIEWERS] -= len(victims)
        self.evictions += len(victims)
        return victims

    def _propose(self, wanted: int, in_use: Slots) -> Slots:
        """The slots whose last event is the oldest, but for those in use."""
        last_ts_ms = self._slab.metas["last_ts_ms"]
        found = np.zeros(0, np.int64)
        while len(found) < wanted:
            if not len(self._idle):
                self._look_for_idle(wanted + len(in_use))
            kept = np.concatenate([in_use, found])
            still = (last_ts_ms[self._idle] == self._idle_since) & ~np.isin(self._idle, kept)
            chosen = np.flatnonzero(still)[: wanted - len(found)]
            seen = chosen[-1] + 1 if len(found) + len(chosen) == wanted else len(self._idle)
            found = np.concatenate([found, self._idle[chosen]])
            self._idle, self._idle_since = self._idle[seen:], self._idle_since[seen:]
        return found

    def _look_for_idle(self, wanted: int) -> None:
        last_ts_ms = self._slab.metas["last_ts_ms"][: self._slab.used]
        number = min(len(last_ts_ms), max(wanted, min(IDLE, len(last_ts_ms) // 8)))
        idle = np.argpartition(last_ts_ms, number - 1)[:number]
        self._idle = idle[np.argsort(last_ts_ms[idle], kind="stable")]
        self._idle_since = last_ts_ms[self._idle]
