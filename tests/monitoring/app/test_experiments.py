"""The page Experiments, and the curve behind it: records and audits, what stands on observations, what may fail."""

from __future__ import annotations

import time

import pytest
from msgspec.structs import replace

from interest.experiments.assignment import Trial as Running
from interest.experiments.decision import Phase, Statistics, Status, Surroundings, decide
from interest.experiments.spec import Experiment, Spec
from monitoring.app.trials import trials
from monitoring.experiments.curve import Curve
from monitoring.experiments.followed import Followed
from monitoring.experiments.records import Audit, Kept, StoredRecords, write_audit
from tests.monitoring.app.conftest import Page, charts, read_as_markdown, texts
from tests.monitoring.app.stage import HOSTILE
from tests.monitoring.experiments.written import Written
from tests.ports import free_ports
from wire.objects import ObjectStore

STABLE, CANDIDATE = "a" * 64, "b" * 64
SPEC = Spec(candidate=CANDIDATE, share=(0.5,), step_after="5s", window="10s", guardrails=())
AROUND = Surroundings(served=STABLE)


def begin(store: ObjectStore, name: str, begin_ms: int, spec: Spec = SPEC) -> Status:
    """An experiment that began then, with its audit."""
    before = Status(created_ms=begin_ms - 1)
    status = decide(spec, before, Statistics(), AROUND, begin_ms)
    assert status.phase is Phase.RUNNING
    write_audit(store, Audit(experiment=name, at_ms=begin_ms, head=0, spec=spec, before=before,
                             statistics=Statistics(), around=AROUND, after=status))  # fmt: skip
    return status


def keep(store: ObjectStore, name: str, status: Status, spec: Spec = SPEC) -> None:
    records = StoredRecords(store)
    records.apply(Experiment(name=name, spec=spec), status.created_ms)
    records.note(name, status)


def written(store: ObjectStore, name: str, begin_ms: int, minutes: int = 6, lift: float = 0.4) -> None:
    """What viewers did in so many windows of ten seconds."""
    running = Running(experiment=name, salt="", traffic=(0.0, 1.0), share=0.5, candidate=CANDIDATE, address="x:1")
    joiner = Written(store, viewers=600)
    for minute in range(minutes):
        joiner.write((running,), begin_ms + 10_000 * minute, begin_ms + 10_000 * (minute + 1), lift=lift)


def test_there_is_none_yet(store: ObjectStore, page: Page) -> None:
    at = page("experiments")
    assert not at.exception and not at.error
    assert "There is no experiment yet" in at.info[0].value
    assert "rapt apply" in at.code[0].value


def test_the_curve_ends_where_the_statistics_are_and_each_commit_is_read_once(store: ObjectStore) -> None:
    begin_ms = time.time_ns() // 1_000_000 - 100_000
    status = begin(store, "new", begin_ms)
    written(store, "new", begin_ms)
    curve = Curve(store, Experiment(name="new", spec=SPEC), status)
    curve.advance(60.0)
    assert curve.complete
    followed = Followed(store)
    experiment = Experiment(name="new", spec=SPEC)
    followed.read([Kept(experiment=experiment, status=status)])
    expected = decide(SPEC, status, followed.statistics(experiment, status), AROUND, begin_ms + 60_000).lift
    last = curve.points[-1]
    assert (last.lift, last.lower, last.upper) == pytest.approx((expected.value, expected.lower, expected.upper))
    assert last.stable + last.candidate == 600
    assert [one.at_ms for one in curve.points] == [begin_ms + 10_000 * n for n in range(1, 7)]
    before = list(curve.points)
    curve.advance(60.0)
    assert curve.points == before


def test_a_running_experiment_is_shown_whole_and_alone(store: ObjectStore, page: Page) -> None:
    begin_ms = time.time_ns() // 1_000_000 - 100_000
    begin(store, "new", begin_ms - 3_600_000)  # an earlier one of its name
    status = begin(store, "new", begin_ms)
    written(store, "new", begin_ms)
    keep(store, "new", replace(status, reason=HOSTILE, viewers={"stable": 300, "candidate": 300}))
    at = page("experiments")
    assert not at.exception and not at.error
    figures = {one.label: one.value for one in at.metric}
    assert (figures["Phase"], figures["Candidate's share"]) == ("Running", "50%")
    assert HOSTILE in texts(at), "reasons are text"
    assert "onerror" not in read_as_markdown(at)
    assert "Sample ratio" in texts(at)
    assert at.dataframe[0].value["arm"].tolist() == ["stable", "candidate"]
    (decisions,) = [one.value for one in at.dataframe if "when (UTC)" in one.value]
    assert decisions["phase"].tolist() == ["Running"]
    assert charts(at) == 2


def test_on_a_cluster_it_is_known_by_its_audits(store: ObjectStore, page: Page) -> None:
    begin_ms = time.time_ns() // 1_000_000
    begin(store, "of-a-cluster", begin_ms)
    (found,) = trials(store)
    assert (found.name, found.status.phase, found.as_of_ms) == ("of-a-cluster", Phase.RUNNING, begin_ms)
    at = page("experiments")
    assert not at.exception
    assert "kubectl get experiments" in "".join(one.value for one in at.caption)


def test_arms_that_are_not_as_drawn_are_told(store: ObjectStore, page: Page) -> None:
    status = begin(store, "new", time.time_ns() // 1_000_000)
    lopsided = replace(status.sample_ratio, p_value=1e-9, expected=0.5, observed=0.3)
    keep(store, "new", replace(status, viewers={"stable": 700, "candidate": 300}, sample_ratio=lopsided))
    assert "nothing is decided" in page("experiments").error[0].value


def test_without_a_store_it_says_so(store: ObjectStore, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPT_S3_ENDPOINT", f"http://127.0.0.1:{free_ports()}")
    assert page("experiments").error[0].value == "The object store does not answer"
