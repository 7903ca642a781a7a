"""The joiner's observations and tallies as statistics of the experiments that run."""

from __future__ import annotations

from collections.abc import Sequence

from interest.experiments.analysis import COLUMNS, Analysis
from interest.experiments.decision import Statistics, Status, Tally
from interest.experiments.spec import Experiment
from monitoring.experiments.records import Kept, audits
from wire import observations
from wire.objects import ObjectStore
from wire.observations import Commit


class Followed:
    """Reads each commit of the joiner once, from the beginning of the oldest experiment that runs.

    An experiment that comes later is read from its own beginning; nothing before tells of it.
    """

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.head = -1
        self._newest: Commit | None = None
        self._analyses: dict[str, Analysis] = {}

    def read(self, running: Sequence[Kept], upto: int | None = None) -> None:
        """Take in all that the joiner has written since the last time, or had by commit `upto`; raises WireError."""
        newest = observations.head(self.store) if upto is None else observations.commit(self.store, upto)
        if newest is None:
            return
        if self.head < 0:
            self.head = min((self._begun_at(one) for one in running), default=newest.seq)
        for one in running:
            self._begin(one, newest)
        for commit in observations.commits(self.store, self.head, newest.seq):
            self._feed(commit, list(self._analyses.values()))
            self.head = commit.seq
        self._newest, self.head = newest, newest.seq

    def statistics(self, experiment: Experiment, status: Status) -> Statistics:
        """What is known of an experiment now; before it runs, the tallies alone."""
        stable, candidate = self._tally(experiment.name, status)
        analysis = self._analyses.get(experiment.name)
        if analysis is None:
            return Statistics(stable=stable, candidate=candidate)
        return analysis.statistics(stable, candidate)

    def forget(self, name: str) -> None:
        """Let go of an experiment."""
        self._analyses.pop(name, None)

    def _begin(self, kept: Kept, newest: Commit) -> None:
        """Have the analysis of an experiment, with all commits that were read before."""
        name, status = kept.experiment.name, kept.status
        known = self._analyses.get(name)
        if known is not None and known.started_ms == status.started_ms:
            return
        analysis = Analysis(name, kept.experiment.spec, status.started_ms)
        for commit in observations.commits(self.store, self._begun_at(kept), min(self.head, newest.seq)):
            if commit.complete_ms >= status.started_ms:
                self._feed(commit, [analysis])
        self._analyses[name] = analysis

    def _begun_at(self, kept: Kept) -> int:
        """The newest commit when it began, as its audit has it; -1 without one."""
        begun = (
            one.head
            for one in audits(self.store, kept.experiment.name)
            if one.before.started_ms == 0 and one.after.started_ms == kept.status.started_ms
        )
        return min(begun, default=-1)

    def _feed(self, commit: Commit, analyses: Sequence[Analysis]) -> None:
        if not analyses:
            return
        for segment in commit.segments:
            table = observations.read(self.store, segment.key, COLUMNS)
            for analysis in analyses:
                analysis.feed(table)
        for analysis in analyses:
            analysis.close(commit.complete_ms)

    def _tally(self, name: str, status: Status) -> tuple[Tally, Tally]:
        counted = self._newest.tallies.get(name, {}) if self._newest is not None else {}
        made = []
        for arm in ("stable", "candidate"):
            tally, before = counted.get(arm), status.before.get(arm, (0, 0))
            made.append(Tally(tally.requests - before[0], tally.failed - before[1]) if tally else Tally())
        return made[0], made[1]
