"""The reconciler against a real object store, with a world that a test can look into, killed at every single call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from interest.errors import InvalidExperiment
from interest.experiments.assignment import Allocation, Trial
from interest.experiments.decision import Phase, Status
from interest.experiments.spec import Experiment, Forced, Spec
from monitoring.experiments.reconciler import DRAIN_MS, Candidate, Reconciler
from monitoring.experiments.records import StoredRecords, audits
from monitoring.experiments.replay import replay
from tests.monitoring.experiments.written import Written
from wire import observations
from wire.objects import ObjectStore
from wire.proposals import propose, proposed

STABLE, GOOD, MISSING = "a" * 64, "b" * 64, "d" * 64
SPEC = Spec(candidate=GOOD, share=(0.25, 0.5), step_after="5s", window="2s", deadline="60s")
LOOK_MS = 1000


class Killed(BaseException):
    """What kill -9 does at one place."""


class KnownWorld:
    """A world of which all is known; candidates need two seconds to load."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self.latest = STABLE
        self.gone = {MISSING}
        self.loading: dict[str, int] = {}

    def served(self) -> str:
        return self.latest

    def serves(self, digest: str) -> bool:
        return self.latest == digest

    def lacks(self, digest: str) -> str:
        return "no such model" if digest in self.gone else ""

    def promote(self, digest: str) -> None:
        assert digest not in self.gone
        self.latest = digest

    def candidate(self, experiment: str, digest: str, *, asked: bool = False) -> Candidate:  # noqa: ARG002
        since = self.loading.setdefault(experiment, self.now_ms())
        loaded = asked or self.now_ms() >= since + 2000
        return Candidate(f"host-{experiment}:80", "" if loaded else "it loads")

    def candidates(self) -> Sequence[str]:
        return list(self.loading)

    def end_candidate(self, experiment: str) -> None:
        del self.loading[experiment]


class KnownArms:
    """The topic `arms`, of which all that was ever said is known."""

    def __init__(self) -> None:
        self.said: list[Allocation] = []
        self.current = Allocation()

    def say(self, trials: tuple[Trial, ...]) -> bool:
        if trials == self.current.trials:
            return False
        self.current = Allocation(version=self.current.version + 1, trials=trials)
        self.said.append(self.current)
        return True

    def close(self) -> None:
        pass


READS = {"all", "get", "served", "serves", "lacks", "candidates"}
"""Calls that change nothing: who is killed at one of them is killed between two others."""


class Mortal:
    """Passes calls on and raises Killed at the one that is numbered, before or after it has taken effect."""

    def __init__(self, inner: Any, clock: list[int], at: int | None, *, after: bool) -> None:
        self._inner, self._clock, self._at, self._after = inner, clock, at, after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found) or name in READS:
            return found

        def call(*given: Any, **named: Any) -> Any:
            self._clock[0] += 1
            if self._clock[0] == self._at and not self._after:
                raise Killed
            made = found(*given, **named)
            if self._clock[0] == self._at:
                raise Killed
            return made

        return call


class Stage:
    """All of it, for one test: a world, records and observations in a store of their own, and a clock."""

    def __init__(self, store: ObjectStore, *, killed_at: int | None = None, after: bool = False) -> None:
        self.store, self.world, self.arms = store, KnownWorld(lambda: self.now_ms), KnownArms()
        self.records, self.written = StoredRecords(store), Written(store)
        self.calls = [0]
        self._mortal = {"clock": self.calls, "at": killed_at, "after": after}
        self.now_ms = 1_000_000
        self.reconciler = self._new()
        self.kills = 0

    def _new(self) -> Reconciler:
        parts = (Mortal(part, **self._mortal) for part in (self.records, self.world, self.arms))
        return Reconciler(*parts, self.store)

    def apply(self, name: str, spec: Spec) -> None:
        self.records.apply(Experiment(name=name, spec=spec), self.now_ms)

    def look(self) -> None:
        """One look; a reconciler that is killed is started again and looks once more."""
        try:
            self.reconciler.look(self.now_ms)
        except Killed:
            self.kills += 1
            self.reconciler = self._new()
            self.reconciler.look(self.now_ms)

    def second(self, **world: Any) -> None:
        """A second of traffic, then a look."""
        self.written.write(self.arms.current.trials, self.now_ms, self.now_ms + LOOK_MS, **world)
        self.now_ms += LOOK_MS
        self.look()

    def status(self, name: str) -> Status:
        kept = self.records.get(name)
        assert kept is not None
        return kept.status

    def run(self, name: str, seconds: int = 80, **world: Any) -> Status:
        for _ in range(seconds):
            self.second(**world)
            if self.status(name).finished:
                break
        return self.status(name)


@pytest.fixture
def stage(store: ObjectStore) -> Stage:
    return Stage(store)


@pytest.fixture
def store(object_store_env: dict[str, str]) -> ObjectStore:
    """A bucket of this file's own, emptied."""
    return emptied(ObjectStore.from_env({**object_store_env, "RAPT_S3_BUCKET": "experiments"}))


def emptied(store: ObjectStore) -> ObjectStore:
    for prefix in ("experiments/", "observations/", "proposals/"):
        for key in list(store.list(prefix)):
            store.delete(key)
    return store


def test_a_better_candidate_is_promoted_step_by_step_and_everything_is_put_away(stage: Stage) -> None:
    stage.apply("x", SPEC)
    status = stage.run("x", lift=0.35)
    assert (status.phase, status.share, stage.world.latest) == (Phase.PROMOTED, 0.0, GOOD), status
    assert [[trial.share for trial in said.trials] for said in stage.arms.said] in ([[0.25], [0.5], []], [[0.25], []])
    assert stage.world.candidates() == []
    assert all(one.same for one in replay(stage.store, "x"))


def test_a_worse_one_is_rolled_back(stage: Stage) -> None:
    stage.apply("x", SPEC)
    status = stage.run("x", lift=-0.35)
    assert (status.phase, stage.world.latest) == (Phase.ROLLED_BACK, STABLE)
    assert "the lift is below 0" in status.reason
    assert (stage.arms.current.trials, stage.world.candidates()) == ((), [])
    assert [one.after.phase for one in audits(stage.store, "x")][-1] is Phase.ROLLED_BACK
    assert all(one.same for one in replay(stage.store, "x"))


def test_one_that_fails_is_rolled_back_at_once_on_requests_whose_labels_are_not_known_yet(stage: Stage) -> None:
    stage.apply("x", replace(SPEC, window="1h"))
    begun = 0
    for _ in range(10):
        stage.second(failing=True)
        begun = begun or stage.status("x").started_ms
    status = stage.status("x")
    assert status.phase is Phase.ROLLED_BACK
    assert "guardrail errors" in status.reason
    assert status.decided_ms - begun <= 2000
    assert all(one.same for one in replay(stage.store, "x"))


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("lift", [0.35, -0.35], ids=["better", "worse"])
def test_killed_at_any_call_it_decides_what_it_would_have_decided(store: ObjectStore, lift: float, after: bool) -> None:
    """Every call that changes something, one run each: the same decision at the same look, the same end."""

    def told(killed_at: int | None) -> tuple[Stage, Status]:
        stage = Stage(emptied(store), killed_at=killed_at, after=after)
        stage.written.habit = stage.written.habit[:700]
        stage.apply("x", replace(SPEC, share=(0.5,)))
        return stage, stage.run("x", lift=lift)

    whole, wanted = told(None)
    assert whole.kills == 0
    for number in range(1, whole.calls[0] + 1):
        stage, status = told(number)
        assert stage.kills == 1
        assert (status.phase, status.reason, status.decided_ms) == (wanted.phase, wanted.reason, wanted.decided_ms)
        assert status.viewers == wanted.viewers
        assert (stage.arms.current.trials, stage.world.candidates()) == ((), [])
        assert stage.world.latest == whole.world.latest
        assert [said.trials for said in stage.arms.said] == [said.trials for said in whole.arms.said]


def test_two_at_once_are_one(stage: Stage) -> None:
    stage.apply("x", SPEC)
    other = stage._new()
    over = 0
    while over < 5:  # looks after the end: nothing more happens
        assert stage.now_ms < 80 * LOOK_MS + 1_000_000
        stage.second(lift=0.35)
        other.look(stage.now_ms)
        over += stage.status("x").finished
    status = stage.status("x")
    assert (status.phase, status.finished, stage.world.latest) == (Phase.PROMOTED, True, GOOD)
    assert [len(said.trials) for said in stage.arms.said][-1] == 0
    assert len(stage.arms.said) <= 3


def test_experiments_on_the_same_viewers_wait_for_each_other_and_others_do_not(stage: Stage) -> None:
    stage.apply("first", replace(SPEC, traffic=(0.0, 0.5)))
    stage.now_ms += 1
    stage.apply("second", replace(SPEC, traffic=(0.4, 0.8)))
    stage.apply("third", replace(SPEC, traffic=(0.8, 1.0)))
    for _ in range(4):
        stage.look()
        stage.now_ms += LOOK_MS
    phases = {name: stage.status(name).phase for name in ("first", "second", "third")}
    assert phases == {"first": Phase.RUNNING, "second": Phase.PENDING, "third": Phase.RUNNING}
    assert "first" in stage.status("second").reason
    stage.apply("first", replace(SPEC, traffic=(0.0, 0.5), decision=Forced.ROLL_BACK))
    stage.apply("third", replace(SPEC, traffic=(0.8, 1.0), decision=Forced.ROLL_BACK))
    for _ in range(12):
        stage.look()
        stage.now_ms += LOOK_MS
    assert stage.status("second").phase is Phase.RUNNING


def test_deleted_in_the_middle_everybody_sees_the_stable_model_and_its_candidate_ends_when_nobody_asks_it(
    stage: Stage,
) -> None:
    stage.apply("x", SPEC)
    for _ in range(6):
        stage.second()
    assert stage.arms.current.trials
    stage.records.delete("x")
    stage.look()
    assert (stage.arms.current.trials, stage.world.candidates()) == ((), ["x"])
    stage.now_ms += DRAIN_MS
    stage.look()
    assert stage.world.candidates() == []


@pytest.mark.parametrize("started", [False, True], ids=["waiting", "running"])
def test_forced_by_hand_it_is_promoted_whether_or_not_it_had_begun(stage: Stage, started: bool) -> None:
    stage.apply("x", SPEC)
    for _ in range(6 if started else 0):
        stage.second()
    stage.apply("x", replace(SPEC, decision=Forced.PROMOTE))
    status = stage.run("x")
    assert (status.phase, stage.world.latest, stage.world.candidates()) == (Phase.PROMOTED, GOOD, [])


def test_a_bundle_that_is_not_there_or_goes_away_ends_it(stage: Stage) -> None:
    stage.apply("x", replace(SPEC, candidate=MISSING))
    stage.second()
    assert (stage.status("x").phase, stage.status("x").reason) == (Phase.ROLLED_BACK, "no such model")
    assert stage.arms.said == []
    stage.apply("y", SPEC)
    for _ in range(6):
        stage.second()
    assert stage.arms.current.trials
    stage.world.gone.add(GOOD)
    status = stage.run("y")
    assert (status.phase, status.reason) == (Phase.ROLLED_BACK, "no such model")
    assert stage.world.candidates() == [] and not stage.arms.current.trials


@pytest.mark.parametrize("queued", [False, True], ids=["alone", "behind another"])
def test_one_without_a_bundle_is_not_promoted_by_hand_either_and_holds_up_nothing(stage: Stage, queued: bool) -> None:
    if queued:
        stage.apply("first", SPEC)
        for _ in range(6):
            stage.second()
    stage.apply("later", replace(SPEC, candidate=MISSING, decision=Forced.PROMOTE))
    assert stage.run("later").phase is Phase.ROLLED_BACK
    assert stage.world.latest == STABLE
    if queued:
        assert stage.run("first", lift=0.3).phase is Phase.PROMOTED
        assert stage.world.latest == GOOD and not stage.arms.current.trials


def test_a_promotion_takes_the_place_of_the_model_it_was_compared_with_and_of_no_other(stage: Stage) -> None:
    stage.apply("x", SPEC)
    for _ in range(80):
        stage.second(lift=0.3)
        if stage.status("x").phase is Phase.PROMOTED:
            break
    assert not stage.status("x").finished
    stage.world.latest = other = "e" * 64  # somebody publishes another model while it is wound up
    status = stage.run("x")
    assert status.finished and stage.world.latest == other
    assert stage.world.candidates() == [] and not stage.arms.current.trials


def test_commits_before_its_beginning_are_not_read(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(30):
        stage.second()
    read: list[int] = []
    inner = observations.commit

    def counted(store: ObjectStore, seq: int) -> observations.Commit:
        read.append(seq)
        return inner(store, seq)

    monkeypatch.setattr(observations, "commit", counted)
    stage.reconciler = stage._new()
    stage.look()
    assert read == [], "no experiment runs"
    stage.apply("x", SPEC)
    for _ in range(10):
        stage.second()
    stage.reconciler = stage._new()
    read.clear()
    stage.look()
    head = observations.head(stage.store)
    assert head is not None and read and min(read) > head.seq - 10


def test_a_running_one_is_not_changed_in_what_its_data_stand_on_and_an_ended_one_not_at_all(stage: Stage) -> None:
    stage.apply("x", SPEC)
    with pytest.raises(InvalidExperiment, match="candidate cannot change"):
        stage.apply("x", replace(SPEC, candidate=MISSING))
    stage.apply("x", replace(SPEC, decision=Forced.ROLL_BACK))
    stage.run("x")
    with pytest.raises(InvalidExperiment, match="has ended"):
        stage.apply("x", SPEC)


def test_what_was_counted_under_the_same_name_before_does_not_count(stage: Stage) -> None:
    stage.apply("x", SPEC)
    for _ in range(8):
        stage.second(failing=True)
    assert stage.status("x").phase is Phase.ROLLED_BACK
    stage.records.delete("x")
    for _ in range(8):
        stage.now_ms += LOOK_MS
        stage.look()
    stage.apply("x", SPEC)
    for _ in range(8):
        stage.second()
    assert stage.status("x").phase is Phase.RUNNING
    assert "candidate" in stage.status("x").requests


def test_what_a_pipeline_proposes_is_begun_once(stage: Stage) -> None:
    propose(stage.store, Experiment(name="retrained-b", spec=SPEC))
    stage.look()
    assert stage.status("retrained-b").created_ms == stage.now_ms
    assert list(proposed(stage.store)) == []
    began_ms, stage.now_ms = stage.now_ms, stage.now_ms + 5000
    propose(stage.store, Experiment(name="retrained-b", spec=replace(SPEC, candidate=MISSING)))
    stage.look()
    kept = stage.records.get("retrained-b")
    assert kept is not None
    assert (kept.experiment.spec, kept.status.created_ms) == (SPEC, began_ms), "it stays as it was"
    assert list(proposed(stage.store)) == []


def test_a_clock_that_is_off_by_hours_changes_no_decision(store: ObjectStore) -> None:
    """Windows are cut by the stream's time; what devices and transformers say the time is does not matter."""
    found = []
    for skew_ms in (0, 7 * 3_600_000, -7 * 3_600_000):
        stage = Stage(emptied(store))
        stage.apply("x", SPEC)
        found.append(stage.run("x", lift=0.35, skew_ms=skew_ms))
    assert found[0].phase is Phase.PROMOTED
    assert found == found[:1] * 3


def test_a_proposal_that_is_none_holds_up_nothing(stage: Stage) -> None:
    for name, data in {"cut-off": b'{"name": "cut', "no-spec": b'{"name": "x"}', "no-text": b"\xff"}.items():
        stage.store.put_bytes(f"proposals/{name}.json", data)
    propose(stage.store, Experiment(name="retrained-b", spec=SPEC))
    stage.look()
    assert stage.status("retrained-b").phase is Phase.PENDING
    assert list(stage.store.list("proposals/")) == []
