"""An experiment's lift over time, from the joiner's observations again."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
from msgspec.structs import replace

from interest.experiments.analysis import COLUMNS, Analysis
from interest.experiments.decision import Phase, Status, Surroundings, decide
from interest.experiments.spec import Experiment
from monitoring.experiments.records import Audit
from wire import observations
from wire.errors import ObjectNotFound
from wire.objects import ObjectStore

MOST_POINTS = 200


@dataclass(frozen=True)
class Point:
    """The lift at one moment: shares; None while too few viewers came."""

    at_ms: int
    lift: float | None
    lower: float | None
    upper: float | None
    stable: int
    candidate: int


class Curve:
    """A look at the end of each window, up to the last decision's; each commit is read once.

    Of a long experiment `MOST_POINTS` looks to twice as many are kept, evenly.
    """

    def __init__(
        self, store: ObjectStore, experiment: Experiment, status: Status, audited: Sequence[Audit] = ()
    ) -> None:
        """From the audit of the beginning on; without one every commit is read."""
        self.store = store
        self.points: list[Point] = []
        self.read, self.head = 0, 0
        self._begun = replace(status, phase=Phase.RUNNING, step=0)
        # What ends an experiment ends its curve nowhere but where it did end.
        self._spec = replace(experiment.spec, paused=False, decision=None, guardrails=(), deadline="100000d")
        self._analysis = Analysis(experiment.name, self._spec, status.started_ms)
        self._around = Surroundings(served=status.stable)
        self._last_ms = status.data_ms if status.phase.ended else math.inf
        self._first = max((one.head for one in audited if one.before.started_ms == 0), default=0)
        self._turn = threading.Lock()

    @property
    def complete(self) -> bool:
        """Whether all that there is was read."""
        return self.read >= self.head

    def advance(self, budget_s: float = math.inf) -> None:
        """Read on for so long at most; who comes meanwhile does not wait. Raises ObjectStoreError."""
        if not self._turn.acquire(blocking=False):
            return
        try:
            self._advance(time.monotonic() + budget_s)
        finally:
            self._turn.release()

    def _advance(self, until: float) -> None:
        newest = observations.head(self.store)
        if newest is None:
            return
        self.head = newest.seq
        self.read = max(self.read, self._first)
        with ThreadPoolExecutor(observations.READERS) as pool:
            while not self.complete and time.monotonic() < until:
                numbers = range(self.read + 1, min(self.read + observations.READERS, self.head) + 1)
                for seq, found in zip(numbers, pool.map(self._load, numbers), strict=True):
                    if found is not None:
                        self._take(*found)
                    self.read = seq
                    if self._analysis.data_ms >= self._last_ms:
                        self.read = self.head
                        return

    def _load(self, seq: int) -> tuple[observations.Commit, list[pa.Table]] | None:
        """A commit and its rows; None for one that retention has deleted."""
        try:
            commit = observations.commit(self.store, seq)
            return commit, [observations.read(self.store, one.key, COLUMNS) for one in commit.segments]
        except ObjectNotFound:
            return None

    def _take(self, commit: observations.Commit, tables: Sequence[pa.Table]) -> None:
        for table in tables:
            self._analysis.feed(table)
        if commit.complete_ms > self._analysis.started_ms and self._analysis.close(commit.complete_ms):
            self._note()

    def _note(self) -> None:
        statistics = self._analysis.statistics()
        lift = decide(self._spec, self._begun, statistics, self._around, statistics.data_ms).lift
        stable, candidate = statistics.viewers
        self.points.append(Point(statistics.data_ms, lift.value, lift.lower, lift.upper, stable, candidate))
        if len(self.points) > 2 * MOST_POINTS:
            self.points = [*self.points[:-1:2], self.points[-1]]
