"""Applies records to the slab, a chunk at a time: a change is in it as a whole or, after a crash, not at all.

Events newer than all that their viewer has go straight into the ring, all viewers at once; the others (late, of
equal time, sent twice) go one by one through `timeline.insert`. Events that a slot has seen are skipped by their
offset, which makes replays, and checkpoints taken while writing, exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference.state import undo
from inference.state.change import Change, Groups, change, grouped
from inference.state.index import Index, Slots
from inference.state.intake import Intake, take_in
from inference.state.layout import CHUNK, SEGMENT, Word
from inference.state.slab import META_BLOB, Slab
from inference.state.slots import Slotting
from inference.state.tally import Bury, Tally, ignore
from wire.kafka import Record, partition_of


class SlabWriter:
    """The one writer of a slab: of the viewers' slots and of the offsets that come next.

    `partitions` is how many the topic has.
    """

    def __init__(self, slab: Slab, partitions: int) -> None:
        self.slab = slab
        self.index = Index(slab)
        self.partitions = partitions
        self._slotting = Slotting(slab, self.index)
        self._chunk = max(1, min(CHUNK, slab.capacity // 2))

    @property
    def evictions(self) -> int:
        """Viewers that had to go for others, since the start."""
        return self._slotting.evictions

    @property
    def viewers(self) -> int:
        """Viewers that have a state."""
        return int(self.slab.words[Word.VIEWERS])

    def offsets(self) -> dict[int, int]:
        """The next offset of each partition of which something was read."""
        known = np.flatnonzero(self.slab.offsets >= 0).tolist()
        return {partition: int(self.slab.offsets[partition]) for partition in known}

    def beat(self, now_ms: int, fresh_at_ms: int, lag: int, *, ready: bool) -> None:
        """Let readers know how far the state is: a sign of life, to be given several times a second."""
        words = self.slab.words
        words[Word.FRESH_AT_MS] = fresh_at_ms
        words[Word.LAG] = lag
        words[Word.READY] = ready
        words[Word.HEARTBEAT_MS] = now_ms

    def clear(self) -> None:
        """Forget all viewers and offsets, as for a topic that was made anew."""
        words, used = self.slab.words, self.slab.metas[: self.slab.used]
        words[Word.INDEX_VERSION] |= 1
        used["version"] |= 1
        used["count"] = 0
        used["version"] += 1
        words[Word.USED] = words[Word.VIEWERS] = 0
        self.slab.offsets[:] = -1
        self.slab.dirty[:] = True
        self.index.rebuild()
        self._slotting = Slotting(self.slab, self.index, self._slotting.evictions)

    def apply(self, records: Sequence[Record], bury: Bury = ignore) -> Tally:
        """Take records in, those of a partition in the order of their offsets.

        `bury` is given what cannot be used before the offsets go past it.
        """
        tally = Tally()
        for begin in range(0, len(records), self._chunk):
            tally += self._apply(records[begin : begin + self._chunk], bury)
        return tally

    def _apply(self, records: Sequence[Record], bury: Bury) -> Tally:
        intake = take_in(records)
        tally = Tally(len(records), len(intake.rows), intake.impressions, rejected=intake.rejected)
        parts = [intake]
        while parts:
            part = parts.pop()
            if len(part.rows) and not self._feed(part, tally):
                half = len(part.rows) // 2
                parts += [part.part(half, len(part.rows)), part.part(0, half)]
        if tally.rejected:
            bury(tally.rejected)
        tally.last = {record.partition: record for record in records}
        for partition, record in tally.last.items():
            self.slab.offsets[partition] = record.offset + 1
        return tally

    def _feed(self, intake: Intake, tally: Tally) -> bool:
        """Apply feedback events; False when that is too much at once, and nothing was done."""
        slots = self.index.find(intake.high, intake.low)
        if (slots < 0).any():
            slots = self._slotting.enter(intake, slots)
        groups = grouped(self.slab, slots, np.argsort(slots, kind="stable"))
        moved = intake.partition[groups.order] != groups.metas["partition"][groups.group]
        if moved.any():
            groups = self._moved(intake, slots, groups, moved, tally)
        seen = intake.offset[groups.order] <= groups.metas["last_offset"][groups.group]
        if seen.any():
            groups = grouped(self.slab, slots, groups.order[~seen])
        part = Tally(seen=int(seen.sum()))
        if len(groups.order):
            planned = change(self.slab, intake, groups, part)
            if not undo.fits(len(planned.slots), len(planned.positions)):
                return False
            self._write(planned)
        tally += part
        return True

    def _moved(self, intake: Intake, slots: Slots, groups: Groups, moved: NDArray[np.bool_], tally: Tally) -> Groups:
        """The groups without events of partitions that are not their viewer's.

        When the topic was given more partitions, a viewer's history begins again in the new one.
        """
        for event in np.sort(groups.order[moved]).tolist():
            slot, partition = int(slots[event]), int(intake.partition[event])
            right = partition_of(intake.users[event], self.partitions)
            if partition != right:
                reason = f"in partition {partition}, where its key belongs in {right}: partition by murmur2 of the key"
                tally.rejected.append((intake.records[event], reason))
            elif partition != self.slab.metas["partition"][slot]:
                self._slotting.restart(slot, partition)
                tally.moved += 1
        at_home = intake.partition[groups.order] == self.slab.metas["partition"][slots[groups.order]]
        return grouped(self.slab, slots, groups.order[at_home])

    def _write(self, planned: Change) -> None:
        slab, slots, new = self.slab, planned.slots, planned.metas
        undo.arm(slab, slots, planned.old, planned.positions)
        versions = slab.metas["version"]
        new["version"] = planned.old["version"] + 1
        versions[slots] = new["version"]
        slab.row_blobs[planned.positions] = planned.rows
        slab.meta_blobs[slots] = new.view(META_BLOB)
        versions[slots] = new["version"] + 1
        undo.disarm(slab)
        slab.dirty[slots // SEGMENT] = True
