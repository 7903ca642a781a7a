"""What becomes of an experiment: a pure function of its spec, its status so far, the statistics and the moment.

The same for the laptop's loop, the cluster's operator and a replay. It is called at every look, as often as one likes:
all that it decides by holds at every look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from interest.experiments.failures import too_many
from interest.experiments.panel import LEAST_VIEWERS, Estimate
from interest.experiments.sample_ratio import SampleRatio
from interest.experiments.spec import Forced, Guardrail, Metric, Spec, seconds

LEAST_REQUESTS = 20
"""Answers that a candidate must have given before its share grows."""


class Phase(StrEnum):
    """Where an experiment is."""

    PENDING = "Pending"
    RUNNING = "Running"
    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"

    @property
    def ended(self) -> bool:
        """Whether it was decided."""
        return self in {Phase.PROMOTED, Phase.ROLLED_BACK}


class Bounds(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A difference, candidate minus stable, and where it lies at all looks; None while too few viewers came."""

    value: float | None = None
    lower: float | None = None
    upper: float | None = None


class GuardrailStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One guardrail: `holds` until the difference is shown to exceed the margin."""

    metric: str
    margin: float
    difference: Bounds
    holds: bool = True


class Status(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """All that an experiment's keeper has to remember, and what people are shown.

    `lift` is the primary metric's difference as a share of the stable arm's value, `effect` the difference itself.
    `finished`: what was decided is carried out, nothing is left to do. `data_ms`: the statistics reach up to here.
    `before`: requests and failures that had been counted under this name when it began, by arm.
    """

    phase: Phase = Phase.PENDING
    reason: str = "it was just created"
    next: str = ""
    stable: str = ""
    candidate: str = ""
    share: float = 0.0
    step: int = 0
    created_ms: int = 0
    started_ms: int = 0
    step_since_ms: int = 0
    decided_ms: int = 0
    data_ms: int = 0
    finished: bool = False
    viewers: dict[str, int] = {}
    requests: dict[str, int] = {}
    effect: Bounds = Bounds()
    lift: Bounds = Bounds()
    sample_ratio: SampleRatio = SampleRatio()
    coverage: dict[str, float] = {}
    guardrails: tuple[GuardrailStatus, ...] = ()
    before: dict[str, tuple[int, int]] = {}


@dataclass(frozen=True)
class Tally:
    """What an arm's requests came to so far, whether or not their labels are known."""

    requests: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Statistics:
    """All that the data say at one look. `coverage`: share of requests with a label, by arm."""

    data_ms: int = 0
    viewers: tuple[int, int] = (0, 0)
    primary: Estimate = field(default_factory=Estimate)
    guardrails: Mapping[Metric, Estimate] = field(default_factory=dict)
    sample_ratio: SampleRatio = field(default_factory=SampleRatio)
    coverage: tuple[float | None, float | None] = (None, None)
    stable: Tally = Tally()
    candidate: Tally = Tally()


@dataclass(frozen=True)
class Surroundings:
    """What is so in the world: the model that is served, and why the candidate can't be asked (empty: it can).

    `hopeless`: that will not change by waiting. `blocked_by`: an experiment that has the traffic.
    """

    served: str
    candidate_waits: str = ""
    hopeless: bool = False
    blocked_by: str = ""


def decide(spec: Spec, status: Status, statistics: Statistics, around: Surroundings, now_ms: int) -> Status:
    """The status from now on."""
    if status.phase.ended:
        return status
    if spec.decision is not None:
        forced = Phase.PROMOTED if spec.decision is Forced.PROMOTE else Phase.ROLLED_BACK
        if status.phase is Phase.PENDING:
            status = replace(status, stable=around.served, candidate=spec.candidate)
        if forced is Phase.PROMOTED and around.hopeless:
            return _end(_seen(spec, status, statistics), Phase.ROLLED_BACK, around.candidate_waits, now_ms)
        return _end(_seen(spec, status, statistics), forced, "decided by hand", now_ms)
    if status.phase is Phase.PENDING:
        return _begin(spec, status, statistics, around, now_ms)
    return _look(spec, _seen(spec, status, statistics), statistics, around, now_ms)


def _begin(spec: Spec, status: Status, statistics: Statistics, around: Surroundings, now_ms: int) -> Status:
    stable = spec.stable or around.served
    status = replace(status, stable=stable, candidate=spec.candidate)
    if around.blocked_by:
        return replace(status, reason=f"waits for experiment {around.blocked_by!r}, which has the same traffic")
    if not around.served:
        return replace(status, reason="waits for a model to be served")
    if stable == spec.candidate:
        return _end(status, Phase.ROLLED_BACK, "the candidate is the model that is served already", now_ms)
    if stable != around.served:
        reason = f"the stable model is to be {stable[:12]}, but {around.served[:12] or 'none'} is served"
        return _end(status, Phase.ROLLED_BACK, reason, now_ms)
    if around.hopeless:
        return _end(status, Phase.ROLLED_BACK, around.candidate_waits, now_ms)
    if spec.paused:
        return replace(status, reason="paused before it began")
    if around.candidate_waits:
        return replace(status, reason=f"waits for the candidate: {around.candidate_waits}")
    begun = replace(status, phase=Phase.RUNNING, reason="runs", started_ms=now_ms, step_since_ms=now_ms)
    before = {"stable": statistics.stable, "candidate": statistics.candidate}
    counted = {arm: (tally.requests, tally.failed) for arm, tally in before.items()}
    return _told(spec, replace(begun, share=spec.share[0], before=counted))


def _look(spec: Spec, status: Status, statistics: Statistics, around: Surroundings, now_ms: int) -> Status:
    if around.served != status.stable:
        reason = f"the stable model {status.stable[:12]} is no longer served, {around.served[:12] or 'none'} is"
        return _end(status, Phase.ROLLED_BACK, reason, now_ms)
    if around.hopeless:
        return _end(status, Phase.ROLLED_BACK, around.candidate_waits, now_ms)
    for rail in status.guardrails:
        if not rail.holds:
            return _end(status, Phase.ROLLED_BACK, _broken(rail, statistics), now_ms)
    if spec.paused:
        return _told(spec, replace(status, reason="paused: only a guardrail ends it"))
    if now_ms >= _deadline_ms(spec, status):
        return _end(status, Phase.ROLLED_BACK, _undecided(status, statistics), now_ms)
    if statistics.sample_ratio.broken:
        return _told(spec, replace(status, reason=_lopsided(statistics.sample_ratio)))
    lift = status.lift
    if lift.upper is not None and lift.upper < 0:
        reason = f"the lift is below 0: {_percent(lift.upper)} at most"
        return _end(status, Phase.ROLLED_BACK, reason, now_ms)
    if lift.lower is not None and lift.lower > -spec.primary.margin:
        margin = f"the margin of {_percent(-spec.primary.margin)}" if spec.primary.margin else "0"
        return _end(status, Phase.PROMOTED, f"the lift is above {margin}: {_percent(lift.lower)} at least", now_ms)
    return _told(spec, _grown(spec, status, statistics, now_ms))


def _grown(spec: Spec, status: Status, statistics: Statistics, now_ms: int) -> Status:
    """The next step when its time has come; the share never shrinks while the experiment runs."""
    status = replace(status, reason="runs")
    due = now_ms >= status.step_since_ms + 1000 * seconds(spec.step_after)
    asked = statistics.candidate.requests >= LEAST_REQUESTS
    larger = next((share for share in spec.share if share > status.share), None)  # of the spec as it is now
    if not due or larger is None or not asked:
        return status
    return replace(status, step=status.step + 1, share=larger, step_since_ms=now_ms)


def _seen(spec: Spec, status: Status, statistics: Statistics) -> Status:
    """The status with what the data say now."""
    effect, scale = statistics.primary, statistics.primary.stable
    arms = {"stable": 0, "candidate": 1}
    return replace(
        status,
        data_ms=statistics.data_ms,
        viewers={arm: statistics.viewers[place] for arm, place in arms.items()},
        requests={"stable": statistics.stable.requests, "candidate": statistics.candidate.requests},
        effect=_bounds(effect),
        lift=_bounds(effect, scale) if scale else Bounds(),
        sample_ratio=statistics.sample_ratio,
        coverage={
            arm: round(share, 4) for arm, share in zip(arms, statistics.coverage, strict=True) if share is not None
        },
        guardrails=tuple(_rail(spec, rail, statistics) for rail in spec.guardrails),
    )


def _rail(spec: Spec, rail: Guardrail, statistics: Statistics) -> GuardrailStatus:
    if rail.metric is Metric.ERRORS:
        tally = statistics.candidate
        share = tally.failed / tally.requests if tally.requests else None
        holds = not too_many(tally.requests, tally.failed, rail.margin, guardrail_alpha(spec))
        return GuardrailStatus(metric=rail.metric, margin=rail.margin, difference=Bounds(value=share), holds=holds)
    found = statistics.guardrails.get(rail.metric, Estimate())
    worse = found.lower is not None and found.lower > rail.margin
    if rail.metric is Metric.CALIBRATION:
        worse = worse or (found.upper is not None and found.upper < -rail.margin)
    return GuardrailStatus(metric=rail.metric, margin=rail.margin, difference=_bounds(found), holds=not worse)


def guardrail_alpha(spec: Spec) -> float:
    """Each guardrail's share of alpha (Bonferroni)."""
    return spec.alpha / max(len(spec.guardrails), 1)


def _bounds(found: Estimate, scale: float = 1.0) -> Bounds:
    if found.effect is None or found.lower is None or found.upper is None:
        return Bounds()
    return Bounds(value=found.effect / scale, lower=found.lower / scale, upper=found.upper / scale)


def _end(status: Status, phase: Phase, reason: str, now_ms: int) -> Status:
    what = "promoted" if phase is Phase.PROMOTED else "rolled back"
    return replace(status, phase=phase, reason=reason, decided_ms=now_ms, next=f"{what} for good")


def _deadline_ms(spec: Spec, status: Status) -> float:
    return status.started_ms + 1000 * seconds(spec.deadline)


def _told(spec: Spec, status: Status) -> Status:
    """In words, what decides next and when at the latest."""
    latest = datetime.fromtimestamp(_deadline_ms(spec, status) / 1000, UTC)
    until = f"rolled back undecided on {latest:%Y-%m-%d %H:%M:%S} UTC at the latest"
    if spec.paused:
        return replace(status, next="nothing until it is resumed, but for guardrails")
    if status.sample_ratio.broken:
        return replace(status, next=f"nothing, since the arms' viewers cannot be compared; {until}")
    lift = status.lift
    if lift.lower is None or lift.upper is None:
        least = min((status.viewers.get(arm, 0) for arm in ("stable", "candidate")), default=0)
        return replace(status, next=f"says nothing before {LEAST_VIEWERS} viewers an arm ({least} so far); {until}")
    goal = _percent(-spec.primary.margin)
    return replace(
        status,
        next=f"promoted when the lift's lower bound ({_percent(lift.lower)} now) passes {goal}, rolled back when the "
        f"upper one ({_percent(lift.upper)}) falls below 0; {until}",
    )


def _broken(rail: GuardrailStatus, statistics: Statistics) -> str:
    if rail.metric == Metric.ERRORS:
        tally = statistics.candidate
        return f"guardrail errors: {tally.failed} of {tally.requests} requests failed, {rail.margin:.1%} may"
    low, high = rail.difference.lower, rail.difference.upper
    return f"guardrail {rail.metric}: worse by {low:.4g} to {high:.4g}, {rail.margin:g} allowed"


def _undecided(status: Status, statistics: Statistics) -> str:
    if not statistics.candidate.requests:
        return "the deadline passed, and the candidate's arm had no traffic"
    if statistics.sample_ratio.broken:
        return f"the deadline passed; {_lopsided(statistics.sample_ratio)}"
    lift = status.lift
    if lift.lower is None or lift.upper is None:
        return f"the deadline passed before there were {LEAST_VIEWERS} viewers in each arm"
    return f"the deadline passed, with the lift between {_percent(lift.lower)} and {_percent(lift.upper)}"


def _lopsided(ratio: SampleRatio) -> str:
    return (
        f"the arms' viewers are not as drawn: {ratio.observed:.2%} in the candidate's arm, {ratio.expected:.2%} "
        f"expected (p {ratio.p_value:.2g}); nothing is decided from them"
    )


def _percent(share: float) -> str:
    return f"{share:+.2%}"
