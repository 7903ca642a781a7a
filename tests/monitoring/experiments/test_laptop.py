"""Experiments on the real stack of a laptop: viewers in a closed loop, labels joined, decisions carried out."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import replace as changed
from pathlib import Path

import pytest
from msgspec.structs import replace

from interest.bundle import MANIFEST, Bundle, open_bundle, seal
from interest.experiments.decision import Phase, Status
from interest.experiments.spec import Experiment, Guardrail, Metric, Spec
from interest.simulator.audience import Audience
from interest.training.bundle import train_bundle
from interest.training.settings import TrainSettings
from monitoring.experiments.records import StoredRecords, audits
from monitoring.experiments.replay import replay
from rapt import service
from rapt.traffic import Plan
from tests.inference.endpoint import Endpoint, running
from tests.interest.worlds import signal_features, small_world
from tests.waiting import until
from tests.watching import Watched, watching
from wire import models, observations
from wire.objects import ObjectStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

VIEWERS, RATE, PAGE = 500, 30.0, 5
ERRORS = Guardrail(metric=Metric.ERRORS, margin=0.05)
SPEC = Spec(candidate="0" * 64, share=(0.5,), step_after="5s", window="5s", deadline="150s", guardrails=(ERRORS,))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    """A model of the small world, and one that has learned the opposite of it."""
    latents, _, _, samples = small_world()
    settings = TrainSettings(seed=9, threads=2, content_epochs=4, epochs=4, content_batch=16, batch=16)
    made = []
    for name, targets in (
        ("good", samples.targets),
        ("bad", changed(samples.targets, engaged=~samples.targets.engaged)),
    ):
        folder: Path = tmp_path_factory.mktemp(name) / "bundle"
        about = train_bundle(changed(samples, targets=targets), signal_features(latents), settings, folder)
        made.append(open_bundle(folder, seal(folder, about)))
    return made[0], made[1]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory, bundles: tuple[Bundle, Bundle]) -> Iterator[Endpoint]:
    quick = {"label_window_s": 1.0, "label_slack_s": 2.0}
    with running(tmp_path_factory.mktemp("serving"), bundles[0], **quick) as found:
        for name in ("labels", "experiments"):
            found.start(name)
        found.publish(bundles[1])
        models.promote(found.store, bundles[0].digest)
        yield found


@contextmanager
def viewers(endpoint: Endpoint) -> Iterator[Watched]:
    """Simulated viewers, new ones each time, who ask all the while."""
    latents, catalog, _, _ = small_world()
    audience = Audience(catalog, latents, VIEWERS, seed=secrets.randbelow(10**6))
    audience.users = tuple(f"{secrets.token_hex(4)}-{user}" for user in audience.users)
    plan = Plan(endpoint.url, RATE, 0, candidates=30, page=PAGE, timeout_s=30)
    with watching(audience, endpoint.kafka, plan) as came:
        yield came


def begin(endpoint: Endpoint, candidate: str, **changes: object) -> str:
    name = f"x-{secrets.token_hex(3)}"
    spec = replace(SPEC, candidate=candidate, **changes)
    StoredRecords(endpoint.store).apply(Experiment(name=name, spec=spec), time.time_ns() // 1_000_000)
    return name


def status(endpoint: Endpoint, name: str) -> Status:
    kept = StoredRecords(endpoint.store).get(name)
    assert kept is not None
    return kept.status


def ended(endpoint: Endpoint, name: str) -> Status:
    until(lambda: status(endpoint, name).finished, f"the end of {name}", 200)
    return status(endpoint, name)


def observed(store: ObjectStore, users: Set[str]) -> list[dict]:
    """All that the joiner has written of these viewers."""
    head = observations.head(store)
    assert head is not None
    columns = ["request_id", "user_id", "video_id"]
    written = [one.key for commit in observations.commits(store, 0, head.seq) for one in commit.segments]
    rows = [row for key in written for row in observations.read(store, key, columns).to_pylist()]
    return [row for row in rows if row["user_id"] in users]


def served(endpoint: Endpoint) -> str:
    return models.latest(endpoint.store)


def test_a_candidate_that_viewers_like_less_is_rolled_back_and_one_that_they_like_more_is_promoted(
    endpoint: Endpoint, bundles: tuple[Bundle, Bundle]
) -> None:
    good, bad = bundles
    with viewers(endpoint) as came:
        worse = ended(endpoint, name := begin(endpoint, bad.digest))
    assert (worse.phase, served(endpoint)) == (Phase.ROLLED_BACK, good.digest), worse
    assert "the lift is below 0" in worse.reason
    assert came.failures == {}, came.last_failure
    assert set(came.models) == {good.digest[:12], bad.digest[:12]}
    assert service.find("candidate", endpoint.settings.run_folder) is None
    assert all(one.same for one in replay(endpoint.store, name))

    models.promote(endpoint.store, bad.digest)
    until(lambda: endpoint.status("predictor")["model_digest"] == bad.digest, "the worse model")
    with viewers(endpoint) as came:
        better = ended(endpoint, name := begin(endpoint, good.digest))
        until(lambda: endpoint.status("predictor")["model_digest"] == good.digest, "the better model")
    assert (better.phase, served(endpoint)) == (Phase.PROMOTED, good.digest), better
    assert came.failures == {}, came.last_failure
    assert all(one.same for one in replay(endpoint.store, name))


def test_a_candidate_that_answers_nothing_is_rolled_back_within_seconds_and_its_viewers_are_served(
    endpoint: Endpoint, bundles: tuple[Bundle, Bundle]
) -> None:
    good, bad = bundles
    with viewers(endpoint) as came:
        name = begin(endpoint, bad.digest, window="1h")
        until(lambda: status(endpoint, name).phase is Phase.RUNNING, "it runs")
        until(lambda: bad.digest[:12] in came.models, "its viewers are asked")
        process = service.find("candidate", endpoint.settings.run_folder)
        assert process is not None
        process.suspend()
        began = time.monotonic()
        try:
            until(lambda: status(endpoint, name).phase.ended, "it is rolled back")
            took_s = time.monotonic() - began
        finally:
            process.resume()
    found = ended(endpoint, name)
    assert "guardrail errors" in found.reason
    (*_, audit) = audits(endpoint.store, name)
    print(f"rolled back after {took_s:.1f} s: {audit.statistics.candidate}")
    assert came.failures == {}, came.last_failure
    assert served(endpoint) == good.digest


def test_killed_in_every_phase_of_a_rollout_the_decision_is_the_same(
    endpoint: Endpoint, bundles: tuple[Bundle, Bundle]
) -> None:
    """Joiner, reconciler and transformer; that is one process here: its callers see it gone."""
    good, bad = bundles
    assert served(endpoint) == good.digest
    with viewers(endpoint):
        experiment = begin(endpoint, bad.digest)
        for wanted in (Phase.PENDING, Phase.RUNNING):
            until(lambda wanted=wanted: status(endpoint, experiment).phase in (wanted, Phase.RUNNING), "its phase")
            for name in ("labels", "experiments", "transformer"):
                endpoint.kill(name)
                endpoint.start(name)
        found = ended(endpoint, experiment)
    assert found.phase is Phase.ROLLED_BACK
    assert "the lift is below 0" in found.reason
    assert all(one.same for one in replay(endpoint.store, experiment))


def test_deleted_and_applied_again_with_another_candidate_it_begins_anew(
    endpoint: Endpoint, bundles: tuple[Bundle, Bundle], tmp_path: Path
) -> None:
    good, bad = bundles
    shutil.copytree(bad.folder, tmp_path / "bundle")
    about = json.loads((tmp_path / "bundle" / MANIFEST).read_text())
    (tmp_path / "bundle" / MANIFEST).unlink()
    other = open_bundle(tmp_path / "bundle", seal(tmp_path / "bundle", {**about, "note": "another"}))
    endpoint.publish(other)
    models.promote(endpoint.store, good.digest)
    records = StoredRecords(endpoint.store)
    name = begin(endpoint, bad.digest)
    until(lambda: status(endpoint, name).phase is Phase.RUNNING, "it runs")
    records.delete(name)
    records.apply(Experiment(name=name, spec=replace(SPEC, candidate=other.digest)), time.time_ns() // 1_000_000)
    until(lambda: status(endpoint, name).phase is Phase.RUNNING, "it runs with another candidate")
    assert status(endpoint, name).candidate == other.digest
    records.delete(name)
    until(lambda: service.find("candidate", endpoint.settings.run_folder) is None, "no candidate is left")


def test_the_joiner_writes_every_request_and_impression_once_though_it_is_killed(endpoint: Endpoint) -> None:
    with viewers(endpoint) as came:
        until(lambda: came.requests >= 200, "traffic")
        endpoint.kill("labels")
        endpoint.start("labels")

    def requests() -> set[str]:
        return {row["request_id"] for row in observed(endpoint.store, came.users)}

    until(lambda: len(requests()) >= came.requests, "all are observations")
    rows = observed(endpoint.store, came.users)
    assert all(row["video_id"] for row in rows), "no labels are missing"
    assert len({(row["request_id"], row["video_id"]) for row in rows}) == len(rows) == came.requests * PAGE
    assert len(requests()) == came.requests
