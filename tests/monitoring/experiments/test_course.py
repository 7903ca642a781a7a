"""An experiment's course from what lies in the store, beside what the reconciler saw as it went."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from interest.errors import InvalidExperiment
from interest.experiments.decision import Phase
from monitoring.experiments.course import HOUR_MS, course
from tests.monitoring.experiments.test_reconciler import GOOD, SPEC, STABLE, Stage, emptied
from wire.objects import ObjectStore


@pytest.fixture
def stage(object_store_env: dict[str, str]) -> Stage:
    return Stage(emptied(ObjectStore.from_env({**object_store_env, "RAPT_S3_BUCKET": "course"})))


def test_each_closed_window_is_a_look_of_a_running_one(stage: Stage) -> None:
    stage.apply("x", SPEC)
    seen = []
    for _ in range(14):
        stage.second(lift=0.0)
        status = stage.status("x")
        if status.data_ms and status.lift.value is not None and (not seen or seen[-1][0] != status.data_ms):
            seen.append((status.data_ms, status.lift.value, status.lift.lower, status.lift.upper))
    found = course(stage.store, "x")
    started_ms = stage.status("x").started_ms
    drawn = [
        (round(started_ms + one.hours * HOUR_MS), one.lift, one.lower, one.upper)
        for one in found.moments
        if one.lift is not None
    ]
    assert len(drawn) >= 4
    assert drawn == seen
    assert found.phase is Phase.RUNNING
    assert [one.what for one in found.decisions] == ["share 25%", "share 50%"]
    assert found.decisions[0].hours == 0.0


def test_a_past_one_ends_with_its_decision_and_outlives_its_observations(stage: Stage) -> None:
    stage.apply("x", replace(SPEC, candidate=GOOD))
    status = stage.run("x", lift=0.35)
    stage.records.delete("x")
    found = course(stage.store, "x")
    assert (found.decisions[-1].what, found.moments[-1].lift) == ("promoted", status.lift.value)
    for key in list(stage.store.list("observations/")):
        stage.store.delete(key)
    left = course(stage.store, "x")
    assert left.decisions == found.decisions
    assert (left.moments[-1].lift, left.moments[-1].viewers) == (status.lift.value, found.moments[-1].viewers)


def test_a_later_one_of_the_same_name_is_told_alone(stage: Stage) -> None:
    stage.apply("x", replace(SPEC, candidate=GOOD))
    stage.run("x", lift=0.35)
    stage.records.delete("x")
    stage.apply("x", replace(SPEC, candidate=STABLE))
    for _ in range(6):
        stage.second(lift=0.0)
    found = course(stage.store, "x")
    assert (found.phase, found.decisions[0].hours) == (Phase.RUNNING, 0.0)
    assert "promoted" not in [one.what for one in found.decisions]


def test_one_that_has_not_begun_cannot_be_drawn(stage: Stage) -> None:
    with pytest.raises(InvalidExperiment, match="experiment 'nothing' has not begun"):
        course(stage.store, "nothing")
