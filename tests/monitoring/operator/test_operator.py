"""The whole operator on a real API server: looks in one thread, kopf in another, observations written by the test."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest

from interest.experiments.assignment import Trial
from monitoring.experiments import loop, reconciler
from monitoring.experiments.arms import newest
from monitoring.experiments.metrics import Told
from monitoring.operator.deletions import operate
from monitoring.operator.keeper import Keeper, Traces
from monitoring.operator.records import KubernetesRecords
from monitoring.operator.world import KubernetesWorld
from tests.brokers import EmbeddedBroker
from tests.monitoring.experiments.test_reconciler import KnownArms
from tests.monitoring.experiments.written import Written
from tests.monitoring.operator.apiserver import ApiServer
from tests.monitoring.operator.conftest import EXPERIMENTS, SERVICE
from tests.monitoring.operator.objects import GOOD, STABLE
from tests.monitoring.operator.test_world import MERGE, Cluster
from wire import models
from wire.http import reply, serving
from wire.kafka import Admin
from wire.kafka.topics import ALL
from wire.objects import ObjectStore

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]
NAME, FINALIZER = "trial-new-model", "rapt.dev/candidate"


class Operator:
    """One operator as `monitoring.operator` runs it, but for the topic `arms`, of which all is known."""

    def __init__(self, server: ApiServer, store: ObjectStore, port: int, arms: KnownArms) -> None:
        self.ended, self.told, traces = threading.Event(), Told(), Traces()
        self.failed: list[BaseException] = []
        access = server.access("operator")

        def make() -> Keeper:
            api = server.api()
            world = KubernetesWorld(api, store, "rapt", port)
            return Keeper(KubernetesRecords(api), world, arms, store, traces)  # type: ignore[arg-type]

        work: dict[str, Callable[[], None]] = {
            "looks": lambda: loop.run(make, self.told, self.ended, 0.05),
            "kopf": lambda: asyncio.run(operate(access, traces, self.ended)),
        }
        self.threads = [threading.Thread(target=self._held, args=(one,), name=name) for name, one in work.items()]
        for thread in self.threads:
            thread.start()

    def _held(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self.failed.append(error)
            raise

    def end(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join(30)
        assert not self.failed


class Stage(Cluster):
    """A release with its model served by one pod, and operators."""

    def __init__(self, server: ApiServer, store: ObjectStore, stack: ExitStack) -> None:
        super().__init__(server, store, stack)
        self.arms, self.written = KnownArms(), Written(store)
        self.has_stable()
        self.operators = [self.operator()]

    def operator(self) -> Operator:
        made = Operator(self.server, self.store, self.port, self.arms)
        self.stack.callback(made.end)
        return made

    def found(self) -> dict[str, Any]:
        """The experiment, or nothing."""
        every = self.server.ask("GET", EXPERIMENTS)["items"]
        return next((one for one in every if one["metadata"]["name"] == "new-model"), {})

    def phase(self) -> str:
        found: str = self.found().get("status", {}).get("phase", "")
        return found

    def services(self) -> set[str]:
        return {one["metadata"]["name"] for one in self.server.ask("GET", SERVICE)["items"]}

    def runs(self) -> None:
        """Have the experiment running."""
        spec = {"share": [0.5], "window": "1s", "stepAfter": "1s", "candidate": GOOD}
        document = {"apiVersion": "rapt.dev/v1alpha1", "kind": "Experiment", "metadata": {"name": "new-model"}}
        self.server.ask("POST", EXPERIMENTS, {**document, "spec": spec})
        self.server.until(lambda: NAME in self.services(), "there is a candidate")
        self.is_ready(True)
        self.server.until(lambda: self.phase() == "Running", "it runs")
        self.server.until(lambda: self.trials() == ["new-model"], "transformers are told")

    def trials(self) -> list[str]:
        return [one.experiment for one in self.arms.current.trials]


@pytest.fixture
def stage(server: ApiServer, object_store_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(reconciler, "DRAIN_MS", 300)
    store = ObjectStore.from_env({**object_store_env, "RAPT_S3_BUCKET": f"operator-{secrets.token_hex(4)}"})
    with ExitStack() as stack:
        yield Stage(server, store, stack)


def test_a_better_candidate_is_promoted(stage: Stage) -> None:
    serves = [STABLE]
    stage.has_pod("interest", 2)
    routes = {"/status": lambda: reply({"model_digest": serves[0]})}
    stage.stack.enter_context(serving("127.0.0.2", stage.port, routes))
    stage.runs()
    began = stage.found()["status"]["startedMs"]
    trial: tuple[Trial, ...] = stage.arms.current.trials
    assert (trial[0].share, trial[0].address) == (0.5, f"{NAME}-predictor.rapt")
    for number in itertools.count():
        if stage.phase() != "Running" or number == 60:
            break
        stage.written.write(trial, began + 1000 * number, began + 1000 * (number + 1), lift=0.2)
        stage.server.until(lambda: stage.operators[0].told.experiments != [], "it was looked at")
    stage.server.until(lambda: stage.phase() == "Promoted", "it is promoted")
    stage.server.until(lambda: models.latest(stage.store) == GOOD, "the pointer moves")
    assert stage.trials() == ["new-model"], "viewers keep the candidate until everybody has it"
    assert NAME in stage.services() and not stage.found()["status"]["finished"]
    serves[0] = GOOD
    stage.server.until(lambda: stage.services() == {"interest"}, "the candidate ends")
    stage.server.until(lambda: stage.found()["status"]["finished"], "all is done")
    assert stage.trials() == []
    stage.server.until(lambda: not stage.found()["metadata"].get("finalizers"), "nothing holds it any more")


def test_a_deleted_experiment_leaves_when_its_candidate_has(stage: Stage) -> None:
    stage.runs()
    stage.server.until(lambda: stage.found()["metadata"].get("finalizers") == [FINALIZER], "it is held")
    kserve = {"metadata": {"finalizers": ["kserve.io/finalizer"]}}
    stage.server.ask("PATCH", f"{SERVICE}/{NAME}", kserve, MERGE)
    stage.server.ask("DELETE", f"{EXPERIMENTS}/new-model")
    stage.server.until(lambda: stage.trials() == [], "viewers are back")
    stage.server.until(lambda: "deletionTimestamp" in stage.service()["metadata"], "the candidate ends")
    time.sleep(2)  # longer than kopf's pause between two tries
    assert "deletionTimestamp" in stage.found()["metadata"], "while the candidate is there, so is the experiment"
    stage.server.ask("PATCH", f"{SERVICE}/{NAME}", {"metadata": {"finalizers": None}}, MERGE)
    stage.server.until(lambda: stage.found() == {}, "it is gone")
    assert stage.services() == {"interest"}


def test_a_deletion_is_carried_out_by_the_next_operator(stage: Stage) -> None:
    stage.runs()
    stage.server.until(lambda: stage.found()["metadata"].get("finalizers") == [FINALIZER], "it is held")
    stage.operators[0].end()
    stage.server.ask("DELETE", f"{EXPERIMENTS}/new-model")
    assert stage.trials() == ["new-model"] and NAME in stage.services()
    stage.operator()
    stage.server.until(lambda: stage.found() == {}, "it is gone")
    assert stage.trials() == [] and stage.services() == {"interest"}


def test_two_operators_do_what_one_does(stage: Stage) -> None:
    other = stage.operator()
    stage.runs()
    looks = other.told.looks
    stage.server.until(lambda: other.told.looks > looks + 5, "the other one looks")
    assert {one.version for one in stage.arms.said} == {1}, "nothing is said twice"
    stage.server.ask("PATCH", f"{EXPERIMENTS}/new-model", {"spec": {"decision": "rollback"}}, MERGE)
    stage.server.until(lambda: stage.found()["status"].get("finished"), "it is rolled back and wound up")
    assert stage.services() == {"interest"} and stage.trials() == []
    assert stage.found()["status"]["reason"] == "decided by hand"


def test_the_api_server_goes_and_comes_back(stage: Stage) -> None:
    stage.runs()
    operator = stage.operators[0]
    stage.server.kill()
    try:
        stage.server.until(lambda: operator.told.failures > 0, "looks fail")
        assert "no answer from" in operator.told.waits_for
        assert stage.trials() == ["new-model"], "viewers stay where they are"
    finally:
        stage.server.start()
    stage.server.until(lambda: operator.told.waits_for == "", "looks go on")
    assert stage.phase() == "Running"
    stage.server.ask("DELETE", f"{EXPERIMENTS}/new-model")
    stage.server.until(lambda: stage.found() == {}, "kopf has come back too", 90)
    assert stage.services() == {"interest"}


PROCESS = """
import sys
from pathlib import Path
from monitoring.experiments.metrics import Told
from monitoring.operator.__main__ import run
from monitoring.operator.api import Access
server, namespace, *files = sys.argv[1:]
run(Access(server, namespace, *map(Path, files)), "rapt", Told())
"""


@contextmanager
def process(server: ApiServer, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The operator as a process of its own, with a real stream."""
    access = server.access("operator")
    where = (access.server, access.namespace, str(access.ca_file), str(access.token_file))
    started = subprocess.Popen([sys.executable, "-c", PROCESS, *where], env={**os.environ, **environment})
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def test_a_killed_operator_leaves_all_as_it_is_and_the_next_one_too(
    server: ApiServer, object_store_env: dict[str, str], embedded_broker: EmbeddedBroker
) -> None:
    settings = embedded_broker.settings
    environment = {**object_store_env, "RAPT_S3_BUCKET": f"killed-{secrets.token_hex(4)}",
                   "RAPT_KAFKA_BOOTSTRAP": settings.bootstrap}  # fmt: skip
    with closing(Admin(settings)) as admin:
        admin.create(ALL)
    with ExitStack() as stack:
        cluster = Cluster(server, ObjectStore.from_env(environment), stack)
        cluster.has_stable()
        with process(server, environment) as first:
            cluster.has_experiment()
            server.until(lambda: cluster.service(), "there is a candidate")
            cluster.is_ready(True)
            server.until(lambda: len(newest(settings).trials) == 1, "transformers are told")
            first.kill()
        told, before = newest(settings), server.ask("GET", f"{EXPERIMENTS}/new-model")
        assert before["status"]["phase"] == "Running"
        with process(server, environment) as second:
            server.ask("DELETE", f"{EXPERIMENTS}/new-model")
            server.until(lambda: newest(settings).trials == (), "viewers are taken back")
            assert newest(settings).version > told.version

            def gone() -> bool:
                return not server.ask("GET", EXPERIMENTS)["items"]

            server.until(gone, "it is gone")
            assert [one["metadata"]["name"] for one in server.ask("GET", SERVICE)["items"]] == ["interest"]
            second.terminate()
            assert second.wait(30) == 0
