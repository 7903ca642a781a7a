"""Writes the slab and the offsets that go with it to the object store, while the feeder goes on applying.

Between two changes the feeder copies one segment (`step`), a thread uploads it, and the manifest comes last with
the offsets of the moment when the first segment was copied. Slots copied later know more than those offsets say;
what is read again is known by its offset. Of several feeders on one store one writes, the others see that it does.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from inference.state import manifest as manifests
from inference.state.apply import SlabWriter
from inference.state.errors import CheckpointDamaged
from inference.state.layout import SEGMENT
from inference.state.manifest import Manifest, Piece
from inference.state.segment import Copied, copied, packed
from wire.errors import ObjectStoreError
from wire.objects import ObjectStore

LOG = logging.getLogger(__name__)
LARGEST_SHARE = 0.2
"""Of all time, for writing checkpoints: one that takes long comes less often."""
WAITING = 2
"""Copied segments that wait for their upload, 11.7 MB each."""


@dataclass
class Outcomes:
    """What became of the checkpoints so far; `last_ms` is when the last whole one was cut, 0 for none."""

    written: int = 0
    failed: int = 0
    left_to_others: int = 0
    last_ms: int = 0
    last_s: float = 0.0


class _Phase(Enum):
    ASKING = auto()
    COPYING = auto()
    CONCLUDING = auto()


@dataclass
class _Cut:
    """A checkpoint under way."""

    began: float
    phase: _Phase = _Phase.ASKING
    at_ms: int = 0
    offsets: dict[int, int] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)
    last: int = 0
    failed: bool = False
    others: bool = False
    lost: list[int] = field(default_factory=list)


class Checkpointer:
    """Takes a checkpoint every `interval_s`; `step` is called by the thread that applies."""

    def __init__(self, writer: SlabWriter, store: ObjectStore, interval_s: float, last_ms: int = 0) -> None:
        self._writer = writer
        self._name = f"{writer.slab.writer:016x}"
        self._store = store
        self._interval_s = interval_s
        self._due = time.monotonic() + interval_s
        self._cut: _Cut | None = None
        self._pieces: dict[int, Piece] = {}
        self._stored: set[str] | None = None
        self._work: queue.Queue[Callable[[], None] | None] = queue.Queue(WAITING)
        self._answered = threading.Event()
        self.outcomes = Outcomes(last_ms=last_ms)
        self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
        self._thread.start()

    def step(self) -> None:
        """Do the next small piece of what is due, if anything; never waits."""
        cut = self._cut
        if cut is None:
            if time.monotonic() >= self._due:
                self._begin()
        elif cut.phase is _Phase.COPYING:
            if not self._work.full():
                self._copy(cut)
        elif self._answered.is_set():
            if cut.phase is _Phase.ASKING and not cut.others and not cut.failed:
                self._start_copying(cut)
            else:
                self._end(cut)

    def finish(self, deadline_s: float) -> bool:
        """Take a last checkpoint; False when it did not succeed in time."""
        give_up_at = time.monotonic() + deadline_s
        while self._cut is not None and time.monotonic() < give_up_at:
            self._wait()
        self._due = 0.0
        failed = self.outcomes.failed
        self.step()
        while self._cut is not None and time.monotonic() < give_up_at:
            self._wait()
        return self._cut is None and self.outcomes.failed == failed

    def close(self) -> None:
        """End the thread after what it does now."""
        if self._cut is not None:
            self._cut.failed = True
        self._work.put(None)
        self._thread.join()

    def _wait(self) -> None:
        self.step()
        self._answered.wait(0.001)

    def _begin(self) -> None:
        cut = self._cut = _Cut(time.monotonic())
        self._hand_over(cut, lambda: self._ask(cut), last=True)

    def _start_copying(self, cut: _Cut) -> None:
        slab = self._writer.slab
        cut.phase = _Phase.COPYING
        self._answered.clear()
        cut.at_ms = int(time.time() * 1000)
        cut.offsets = self._writer.offsets()
        cut.last = -(-slab.used // SEGMENT)
        cut.missing = [number for number in range(cut.last) if slab.dirty[number] or number not in self._pieces]

    def _copy(self, cut: _Cut) -> None:
        if cut.missing and not cut.failed:
            number = cut.missing.pop()
            self._writer.slab.dirty[number] = False
            copy = copied(self._writer.slab, number)
            self._hand_over(cut, lambda: self._put(cut, number, copy))
        else:
            cut.phase = _Phase.CONCLUDING
            self._hand_over(cut, lambda: self._conclude(cut), last=True)

    def _end(self, cut: _Cut) -> None:
        took_s = time.monotonic() - cut.began
        self._writer.slab.dirty[cut.lost] = True
        self._cut = None
        self._due = cut.began + max(self._interval_s, took_s / LARGEST_SHARE)
        self.outcomes.last_s = took_s
        self.outcomes.failed += cut.failed
        self.outcomes.left_to_others += cut.others
        if not cut.failed and not cut.others:
            self.outcomes.written += 1
            self.outcomes.last_ms = cut.at_ms

    def _hand_over(self, cut: _Cut, work: Callable[[], None], *, last: bool = False) -> None:
        """Give the thread something to do; when it is the last of a phase, `_answered` tells its end."""
        if last:
            self._answered.clear()

        def guarded() -> None:
            try:
                work()
            except (ObjectStoreError, CheckpointDamaged) as error:
                LOG.warning("no checkpoint this time, the feeder goes on: %s", error)
                cut.failed = True
            finally:
                if last:
                    self._answered.set()

        self._work.put(guarded)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def _ask(self, cut: _Cut) -> None:
        """Whether another feeder takes the checkpoints, and what is stored of ours."""
        found = manifests.newest_first(self._store)
        if not found:
            self._stored = self._stored or set()
            return
        age_s = time.time() - manifests.created_ms(found[0]) / 1000
        cut.others = manifests.writer_of(found[0]) != self._name and age_s < 2 * self._interval_s
        if self._stored is None and not cut.others:
            self._stored = set(self._store.list(manifests.SEGMENTS + self._name))

    def _put(self, cut: _Cut, number: int, copy: Copied) -> None:
        cut.lost.append(number)
        if cut.failed:
            return
        viewers, data = packed(copy)
        piece = Piece(key=manifests.segment_key(self._name, data), viewers=viewers)
        if piece.key not in (self._stored or ()):
            self._store.put_bytes(piece.key, data)
        self._pieces[number] = piece
        cut.lost.pop()

    def _conclude(self, cut: _Cut) -> None:
        if cut.failed:
            return
        pieces = [self._pieces[number] for number in range(cut.last)]
        keys = {piece.key for piece in pieces}
        self._stored = set(self._store.list(manifests.SEGMENTS + self._name))
        if gone := keys - self._stored:
            self._pieces = {number: piece for number, piece in self._pieces.items() if piece.key not in gone}
            raise CheckpointDamaged(f"{len(gone)} segments are gone from {self._store.uri(manifests.SEGMENTS)}")
        found = manifests.newest_first(self._store)
        created_ms = max(cut.at_ms, manifests.created_ms(found[0]) + 1 if found else 0)
        manifest = Manifest(created_ms=created_ms, offsets=cut.offsets, segments=pieces)
        manifests.write(self._store, manifest, self._name)
        manifests.collect_garbage(self._store, keys)
