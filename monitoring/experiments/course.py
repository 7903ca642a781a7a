"""How an experiment went: the lift at every look that the joiner's commits allow, and what was decided when."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from interest.errors import InvalidExperiment
from interest.experiments.decision import Phase, Surroundings, decide
from interest.experiments.spec import Experiment
from monitoring.experiments.followed import Followed
from monitoring.experiments.records import Audit, Kept, audits
from monitoring.pictures.experiment import Decision, Moment
from wire import observations
from wire.errors import ObjectNotFound
from wire.objects import ObjectStore

HOUR_MS = 3_600_000
MOST_LOOKS = 300
"""A long experiment is looked at so often, evenly."""


@dataclass(frozen=True)
class Course:
    """The looks and decisions in order; `margin` is the loss that is accepted, as a share; `phase` is the last one."""

    moments: tuple[Moment, ...]
    decisions: tuple[Decision, ...]
    margin: float
    phase: Phase


def course(store: ObjectStore, name: str) -> Course:
    """The course of an experiment that runs or has ended, from its audits and the observations that are left.

    Without observations, which retention deletes, it is told by the audits alone. Raises InvalidExperiment for one
    that has not begun, WireError.
    """
    found = list(audits(store, name))
    begun = next((one for one in found if one.after.started_ms), None)
    if begun is None:
        raise InvalidExperiment(
            f"experiment {name!r} has not begun, so there is nothing to draw; see: rapt experiments"
        )
    started_ms, last = begun.after.started_ms, found[-1]
    decisions = [Decision((one.at_ms - started_ms) / HOUR_MS, _word(one)) for one in found if one.at_ms >= started_ms]
    moments = _replayed(store, begun, last) or _audited(found, started_ms)
    return Course(tuple(moments), tuple(decisions), last.spec.primary.margin, last.after.phase)


def _word(audit: Audit) -> str:
    after = audit.after
    words = {Phase.PROMOTED: "promoted", Phase.ROLLED_BACK: "rolled back"}
    return words.get(after.phase, f"share {after.share:.0%}")


def _audited(found: list[Audit], started_ms: int) -> list[Moment]:
    """The decisions' own looks."""
    made = []
    for one in found:
        lift = one.after.lift
        hours = (one.at_ms - started_ms) / HOUR_MS
        made.append(Moment(max(hours, 0.0), one.statistics.viewers, lift.value, lift.lower, lift.upper))
    return made


def _replayed(store: ObjectStore, begun: Audit, last: Audit) -> list[Moment]:
    """A look at each new window, from when it began to its end, or to now."""
    newest = observations.head(store)
    end = last.head if last.after.phase.ended or newest is None else newest.seq
    first = max(begun.head, 0)
    every = max(1, -(-(end - first + 1) // MOST_LOOKS))
    experiment = Experiment(name=begun.experiment, spec=replace(last.spec, decision=None, paused=False))
    kept = Kept(experiment=experiment, status=begun.after)
    followed, around = Followed(store), Surroundings(served=begun.after.stable)
    made: list[Moment] = []
    seen_ms = begun.after.started_ms
    for seq in (*range(first, end, every), end):
        try:
            followed.read([kept], upto=seq)
        except ObjectNotFound:
            continue
        statistics = followed.statistics(experiment, begun.after)
        if statistics.data_ms <= seen_ms:
            continue
        seen_ms = statistics.data_ms
        lift = decide(experiment.spec, begun.after, statistics, around, seen_ms).lift
        hours = (seen_ms - begun.after.started_ms) / HOUR_MS
        made.append(Moment(hours, statistics.viewers, lift.value, lift.lower, lift.upper))
    return made
