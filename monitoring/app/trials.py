"""Experiments as they are known everywhere: records where a laptop keeps them, and audits, which every world writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec
import pyarrow as pa
from msgspec.structs import replace

from interest.experiments.analysis import COLUMNS, Analysis
from interest.experiments.decision import Phase, Status, Surroundings, decide
from interest.experiments.spec import Spec
from monitoring.experiments.records import PREFIX, Audit, StoredRecords, audits
from wire import observations
from wire.errors import ObjectNotFound
from wire.objects import ObjectStore

MOST_POINTS = 200
READERS = 8
"""Commits that are read at the same time."""


@dataclass(frozen=True)
class Trial:
    """An experiment; `as_of_ms` is the last decision's moment where only audits tell of it, as on a cluster, else 0."""

    name: str
    spec: Spec
    status: Status
    as_of_ms: int = 0


@dataclass(frozen=True)
class Point:
    """The lift at one moment: shares; None while too few viewers came."""

    at_ms: int
    lift: float | None
    lower: float | None
    upper: float | None
    stable: int
    candidate: int


def trials(store: ObjectStore) -> list[Trial]:
    """All experiments, the newest first; raises ObjectStoreError."""
    keys = list(store.list(PREFIX))
    last = {key.split("/")[1]: key for key in keys if "/audit/" in key}
    recorded = {key.split("/")[1] for key in keys if key.endswith("/spec.json")}
    found = [one for name in recorded | set(last) if (one := _trial(store, name, name in recorded, last.get(name)))]
    return sorted(found, key=lambda one: (-(one.status.started_ms or one.status.created_ms), one.name))


def decisions(store: ObjectStore, name: str) -> list[Audit]:
    """All decisions on an experiment, in order; raises ObjectStoreError."""
    return list(audits(store, name))


def _trial(store: ObjectStore, name: str, recorded: bool, last_audit: str | None) -> Trial | None:
    if recorded and (kept := StoredRecords(store).get(name)) is not None:
        return Trial(name, kept.experiment.spec, kept.status)
    if last_audit is None:
        return None
    try:
        audit = msgspec.json.decode(store.get_bytes(last_audit), type=Audit)
    except ObjectNotFound:
        return None
    return Trial(name, audit.spec, audit.after, audit.at_ms)


class Curve:
    """The lift over time, from observations again: each commit is read once, as many at a time as one waits for."""

    def __init__(self, store: ObjectStore, trial: Trial, audited: Sequence[Audit]) -> None:
        """From the audit of the beginning on; `audited` tells the statuses that the experiment went through."""
        self.store = store
        self.points: list[Point] = []
        self.read, self.head = 0, 0
        self._begun = replace(trial.status, phase=Phase.RUNNING, step=0)
        self._spec = replace(trial.spec, paused=False, decision=None, guardrails=(), deadline="100000d")
        self._analysis = Analysis(trial.name, self._spec, trial.status.started_ms)
        self._around = Surroundings(served=trial.status.stable)
        self._window_ms = self._analysis.window_ms
        self._ends_ms = trial.status.decided_ms
        self._first = max((one.head for one in audited if one.before.started_ms == 0), default=0)
        self._turn = threading.Lock()

    @property
    def complete(self) -> bool:
        """Whether all that there is was read."""
        return self.read >= self.head

    def advance(self, budget_s: float) -> None:
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
        with ThreadPoolExecutor(READERS) as pool:
            while self.read < self.head:
                numbers = range(self.read + 1, min(self.read + READERS, self.head) + 1)
                for seq, found in zip(numbers, pool.map(self._load, numbers), strict=True):
                    if found is not None and self._ends_ms and found[0].complete_ms > self._ends_ms + self._window_ms:
                        self.read = self.head
                        return
                    if found is not None:
                        self._take(*found)
                    self.read = seq
                if time.monotonic() > until:
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
