from __future__ import annotations

from dataclasses import replace as changed
from typing import Any

import pytest
from msgspec.structs import replace

from interest.errors import InvalidExperiment
from interest.experiments.decision import Phase, Statistics, Status, Surroundings, Tally, decide
from interest.experiments.panel import Estimate
from interest.experiments.sample_ratio import SampleRatio
from interest.experiments.spec import Forced, Metric, Primary, Spec, document, parse, refuse_change, seconds

STABLE, CANDIDATE, OTHER = "a" * 64, "b" * 64, "c" * 64
SPEC = Spec(candidate=CANDIDATE, share=(0.1, 0.5), step_after="10m", deadline="1h")
SERVED = Surroundings(served=STABLE)
MINUTE = 60_000
OPEN = Statistics(
    data_ms=1, viewers=(900, 900), primary=Estimate(0.0, -0.1, 0.1, 0.5, 0.5), coverage=(1.0, 0.9),
    stable=Tally(5000, 0), candidate=Tally(5000, 0),
)  # fmt: skip


def running(spec: Spec = SPEC, now_ms: int = 0) -> Status:
    return decide(spec, Status(), Statistics(stable=Tally(7, 0), candidate=Tally(3, 1)), SERVED, now_ms)


def look(statistics: Statistics = OPEN, minute: float = 1, spec: Spec = SPEC, around: Surroundings = SERVED) -> Status:
    begun = running(replace(spec, paused=False, decision=None))
    return decide(spec, begun, statistics, around, round(minute * MINUTE))


def with_lift(lower: float, upper: float) -> Statistics:
    """Bounds of the lift, where the stable arm engages half of the time."""
    return changed(OPEN, primary=Estimate((lower + upper) / 4, lower / 2, upper / 2, 0.5, 0.5))


def test_it_begins_with_the_first_step_against_the_model_that_is_served() -> None:
    status = running()
    assert (status.phase, status.share, status.stable) == (Phase.RUNNING, 0.1, STABLE)
    assert status.before == {"stable": (7, 0), "candidate": (3, 1)}
    assert "rolled back undecided on 1970-01-01 01:00:00 UTC at the latest" in status.next


@pytest.mark.parametrize(
    ("around", "phase", "reason"),
    [
        (Surroundings(served=STABLE, candidate_waits="it loads"), Phase.PENDING, "it loads"),
        (Surroundings(served=STABLE, candidate_waits="no bundle", hopeless=True), Phase.ROLLED_BACK, "no bundle"),
        (Surroundings(served=STABLE, blocked_by="first"), Phase.PENDING, "waits for experiment 'first'"),
        (Surroundings(served=CANDIDATE), Phase.ROLLED_BACK, "served already"),
        (Surroundings(served=""), Phase.PENDING, "waits for a model to be served"),
    ],
)
def test_it_does_not_begin_before_it_can(around: Surroundings, phase: Phase, reason: str) -> None:
    status = decide(SPEC, Status(), Statistics(), around, 0)
    assert (status.phase, status.share) == (phase, 0.0)
    assert reason in status.reason


def test_the_share_grows_when_a_step_is_over_and_never_shrinks() -> None:
    assert look(minute=9).share == 0.1
    grown = look(minute=10)
    assert (grown.share, grown.step, grown.step_since_ms) == (0.5, 1, 10 * MINUTE)
    shrunk = replace(SPEC, share=(0.05, 0.2))
    assert decide(shrunk, grown, OPEN, SERVED, 11 * MINUTE).share == 0.5


@pytest.mark.parametrize(("share", "next_one"), [((0.25,), 0.25), ((0.05, 0.2, 0.6), 0.2), ((0.1,), 0.1)])
def test_a_share_that_is_edited_while_it_runs_is_the_next_larger_one(share: tuple[float, ...], next_one: float) -> None:
    assert decide(replace(SPEC, share=share), running(), OPEN, SERVED, 10 * MINUTE).share == next_one


def test_a_candidate_that_can_never_serve_is_rolled_back_whatever_a_person_decides() -> None:
    never = Surroundings(served=STABLE, candidate_waits="no bundle", hopeless=True)
    for spec in (SPEC, replace(SPEC, decision=Forced.PROMOTE)):
        for status in (Status(), running()):
            found = decide(spec, status, OPEN, never, MINUTE)
            assert (found.phase, found.reason) == (Phase.ROLLED_BACK, "no bundle")


def test_the_share_does_not_grow_while_nobody_asked_the_candidate() -> None:
    assert look(changed(OPEN, candidate=Tally(3, 0)), minute=30).share == 0.1


@pytest.mark.parametrize(
    ("lower", "upper", "margin", "phase"),
    [
        (0.01, 0.2, 0.0, Phase.PROMOTED),
        (-0.01, 0.2, 0.0, Phase.RUNNING),
        (-0.01, 0.2, 0.02, Phase.PROMOTED),
        (-0.2, -0.01, 0.0, Phase.ROLLED_BACK),
        (-0.015, -0.001, 0.02, Phase.ROLLED_BACK),
    ],
)
def test_the_interval_decides(lower: float, upper: float, margin: float, phase: Phase) -> None:
    status = look(with_lift(lower, upper), spec=replace(SPEC, primary=Primary(margin=margin)))
    assert status.phase is phase
    assert (status.lift.lower, status.lift.upper) == pytest.approx((lower, upper))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"guardrails": {Metric.LATENCY: Estimate(30, 21, 40, 5, 35)}}, "guardrail latency: worse by 21 to 40"),
        ({"guardrails": {Metric.CALIBRATION: Estimate(-0.2, -0.3, -0.06, 0, -0.2)}}, "guardrail calibration"),
        ({"candidate": Tally(100, 60)}, "guardrail errors: 60 of 100 requests failed, 1.0% may"),
    ],
)
@pytest.mark.parametrize("paused", [False, True])
def test_a_broken_guardrail_rolls_back_though_the_lift_is_good_and_though_it_is_paused(
    changes: dict[str, Any], reason: str, paused: bool
) -> None:
    status = look(changed(with_lift(0.1, 0.2), **changes), spec=replace(SPEC, paused=paused))
    assert status.phase is Phase.ROLLED_BACK
    assert reason in status.reason


def test_arms_that_are_not_as_drawn_decide_nothing_until_the_deadline() -> None:
    broken = changed(with_lift(0.1, 0.2), sample_ratio=SampleRatio(0.0001, 0.5, 0.48))
    status = look(broken, minute=30)
    assert (status.phase, status.share) == (Phase.RUNNING, 0.1)
    assert "48.00% in the candidate's arm, 50.00% expected" in status.reason
    assert look(broken, minute=60).phase is Phase.ROLLED_BACK


def test_a_deadline_without_a_decision_rolls_back_and_says_what_was_known() -> None:
    assert "lift between -20.00% and +20.00%" in look(minute=60).reason
    assert "no traffic" in look(Statistics(), minute=60).reason
    assert "before there were 200 viewers" in look(Statistics(candidate=Tally(30, 0)), minute=60).reason


def test_a_pause_holds_share_and_decision_and_a_person_decides_whatever_the_data_say() -> None:
    paused = look(with_lift(0.1, 0.2), minute=59, spec=replace(SPEC, paused=True))
    assert (paused.phase, paused.share) == (Phase.RUNNING, 0.1)
    assert look(with_lift(-0.2, -0.1), spec=replace(SPEC, decision=Forced.PROMOTE)).phase is Phase.PROMOTED
    assert look(with_lift(0.1, 0.2), spec=replace(SPEC, decision=Forced.ROLL_BACK)).phase is Phase.ROLLED_BACK


def test_it_ends_when_another_model_is_served_and_then_stays_as_it_ended() -> None:
    ended = look(around=Surroundings(served=OTHER))
    assert ended.phase is Phase.ROLLED_BACK
    assert decide(SPEC, ended, with_lift(0.1, 0.2), SERVED, 99 * MINUTE) == ended


def test_looking_twice_is_looking_once() -> None:
    once = look(minute=5)
    assert decide(SPEC, once, OPEN, SERVED, 5 * MINUTE) == once


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"share": [0.5, 0.1]}, "share"),
        ({"share": [1.0]}, "share"),
        ({"share": []}, "share"),
        ({"candidate": "b"}, "candidate"),
        ({"candidate": STABLE, "stable": STABLE}, "candidate"),
        ({"deadline": "soon"}, "deadline"),
        ({"traffic": [0.5, 0.5]}, "traffic"),
        ({"guardrails": [{"metric": "engagement", "margin": 1}]}, "guardrails"),
        ({"guardrails": [{"metric": "errors", "margin": 1}] * 2}, "guardrails"),
        ({"primary": {"metric": "latency"}}, "primary.metric"),
        ({"window": "10ms"}, "window"),
        ({"deadline": "9999999d"}, "deadline: 9999999d is over 3650d"),
        ({"window": "9" * 310 + "d"}, "window"),
        ({"weight": 1}, "weight"),
    ],
)
def test_what_is_wrong_with_a_spec_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidExperiment, match=named):
        parse(resource(**changes))


@pytest.mark.parametrize(
    ("whole", "named"),
    [
        (None, "apiVersion"),
        ({"apiVersion": "v1", "kind": "Pod"}, "'v1', 'Pod'"),
        ({"apiVersion": "rapt.dev/v1alpha1", "kind": "Experiment", "metadata": {"name": "Not OK"}}, "metadata.name"),
        ({"apiVersion": "rapt.dev/v1alpha1", "kind": "Experiment", "metadata": {"name": "x"}}, "spec"),
    ],
)
def test_what_is_no_experiment_is_named(whole: Any, named: str) -> None:
    with pytest.raises(InvalidExperiment, match=named):
        parse(whole)


def test_a_resource_is_what_it_is_after_a_round_and_cannot_change_what_its_data_stand_on() -> None:
    one = parse(resource(share=[0.1, 0.2], stepAfter="30s", guardrails=[]))
    assert parse(document(one)) == one
    assert seconds(one.spec.step_after) == 30.0
    refuse_change("x", one.spec, replace(one.spec, paused=True, deadline="1d", share=(0.9,)))
    with pytest.raises(InvalidExperiment, match="salt, alpha"):
        refuse_change("x", one.spec, replace(one.spec, salt="s", alpha=0.1))


def resource(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "rapt.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": "x"},
        "spec": {"candidate": CANDIDATE, **spec},
    }


def test_a_share_of_nobody_and_no_alpha_are_refused_whatever_the_processor_does_with_denormals() -> None:
    """msgspec's "above 0" is "at least the smallest denormal", which flushing takes for 0."""
    import torch

    def refused(**spec: object) -> None:
        with pytest.raises(InvalidExperiment):
            parse({"apiVersion": "rapt.dev/v1alpha1", "kind": "Experiment", "metadata": {"name": "x"},
                   "spec": {"candidate": "a" * 64, **spec}})  # fmt: skip

    for flush in (True, False):
        torch.set_flush_denormal(flush)
        refused(share=[0.0])
        refused(alpha=0)
