"""How an experiment went: the lift at every look that the joiner's commits allow, and what was decided when."""

from __future__ import annotations

from dataclasses import dataclass

from interest.errors import InvalidExperiment
from interest.experiments.decision import Phase
from interest.experiments.spec import Experiment
from monitoring.experiments.curve import Curve
from monitoring.experiments.records import Audit, audits
from monitoring.pictures.experiment import Decision, Moment
from wire.objects import ObjectStore

HOUR_MS = 3_600_000


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
    # One that has ended may be followed by another of its name.
    found = [one for one in found if one.after.created_ms == found[-1].after.created_ms]
    begun = next((one for one in found if one.after.started_ms), None)
    if begun is None:
        raise InvalidExperiment(
            f"experiment {name!r} has not begun, so there is nothing to draw; see: rapt experiments"
        )
    started_ms, last = begun.after.started_ms, found[-1]
    decisions = [Decision((one.at_ms - started_ms) / HOUR_MS, _word(one)) for one in found if one.at_ms >= started_ms]
    moments = _replayed(store, last, found) or _audited(found, started_ms)
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


def _replayed(store: ObjectStore, last: Audit, found: list[Audit]) -> list[Moment]:
    """A look at the end of each window, from when it began to its end, or to now."""
    curve = Curve(store, Experiment(name=last.experiment, spec=last.spec), last.after, found)
    curve.advance()
    started_ms = last.after.started_ms
    return [
        Moment((one.at_ms - started_ms) / HOUR_MS, (one.stable, one.candidate), one.lift, one.lower, one.upper)
        for one in curve.points
    ]
