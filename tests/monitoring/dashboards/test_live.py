"""Every query of the dashboards and every alert's metrics, asked of a real Prometheus that reads the real stack.

The stack of `rapt up` serves a small trained model to simulated viewers in a day that has everything: new videos, an
experiment with a candidate that hangs, a predictor that dies, a retraining that fails.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from interest.bundle import Bundle, open_bundle, seal
from interest.experiments.decision import Phase
from interest.experiments.spec import Experiment, Guardrail, Metric, Spec
from interest.records import Video
from interest.simulator.audience import Audience
from monitoring.dashboards.build import BOARDS
from monitoring.experiments.records import StoredRecords
from rapt import cli, service, serving, stack
from rapt.settings import Settings
from rapt.traffic import Plan, Traffic
from tests.clips import real_clip
from tests.interest.worlds import small_world
from tests.monitoring.alerts.test_rules import ALERTS
from tests.monitoring.prometheus import Prometheus, needs_prometheus, prometheus
from tests.monitoring.queries import KUBE_STATE_METRICS, KUBELET, asked, filled, names, operands
from tests.ports import free_ports
from tests.waiting import until
from tests.watching import watching
from tests.wire import web as webs
from wire import models
from wire.kafka import EVENTS, VIDEOS, KafkaSettings, producer
from wire.objects import ObjectStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), needs_prometheus]

VIEWERS, RATE = 700, 25.0
SPEC = Spec(
    candidate="0" * 64, share=(0.5,), step_after="5s", window="5s", deadline="1h",
    guardrails=(Guardrail(metric=Metric.ERRORS, margin=0.9),),
)  # fmt: skip
NOT_ON_A_LAPTOP = {
    **dict.fromkeys(KUBELET, "the kubelet's"),
    **dict.fromkeys(KUBE_STATE_METRICS, "kube-state-metrics'"),
}
"""Metrics that a laptop does not have, and whose they are."""


@dataclass(frozen=True)
class Day:
    """What is over, and the Prometheus that has seen it between two moments (Unix seconds)."""

    prometheus: Prometheus
    begin_s: float
    end_s: float

    def values(self, query: str) -> list[float]:
        """Of a query with Grafana's variables filled in."""
        return self.prometheus.values(filled(query, "15s"), self.begin_s, self.end_s)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle) -> Iterator[Day]:
    folder = tmp_path_factory.mktemp("day")
    with ExitStack() as things:
        web = things.enter_context(webs.serving())
        settings = Settings(
            home=folder / "home", object_store_port=free_ports(), broker_port=free_ports(), serving_port=free_ports(),
            state_memory_mib=16, state_checkpoint_s=2.0, start_deadline_s=180.0, allow_private_addresses=web.place,
            label_window_s=1.0, label_slack_s=2.0, retrain_every_s=2.0, retrain_least=100, retrain_oldest_s=5.0,
            retrain_cool_down_s=0.0,
        )  # fmt: skip
        things.callback(stack.down, settings)
        with stack.ensure_up(settings):
            store = ObjectStore.from_env()
        candidate = _twin(bundle, folder / "twin")
        _publish(store, candidate)
        _publish(store, bundle)
        told = CliRunner(env=settings.variables()).invoke(cli.app, ["dashboards", "prometheus", "--json"])
        seen = things.enter_context(prometheus(folder, json.loads(told.stdout)))
        begin_s = time.time()
        stack.up(settings)
        until(lambda: seen.up() == serving.OFFSETS.keys() - {"candidate", "dashboard"}, "all is read", 180)
        web.routes["/bikes.mp4"] = webs.file(real_clip("bikes").read_bytes(), etag='"bikes"')
        with _viewers(settings) as came:
            _live(settings, store, seen, candidate, [web.url("/bikes.mp4"), web.url("/nothing.mp4")], came)
        yield Day(seen, begin_s, time.time())


def _live(
    settings: Settings, store: ObjectStore, seen: Prometheus, candidate: Bundle, videos: list[str], came: Traffic
) -> None:
    """What happens in the day, one after the other, each until Prometheus knows of it."""

    def known(query: str) -> None:
        until(lambda: bool(seen.get("query", query=query)["result"]), query, 180)

    known("rapt_model_ne")
    known("rapt_retraining_runs_failed_total > 0")
    sending = producer(KafkaSettings.from_env(settings.stream_environment()))
    for number, url in enumerate(videos):
        video = Video(video_id=f"new-{number}", uri=url, caption="a bike", duration_s=0.0)
        sending.send(VIDEOS, video.video_id.encode(), msgspec.json.encode(video))
    sending.send(EVENTS, b"u", b"no event")
    sending.flush(60)
    sending.close()
    records = StoredRecords(store)
    spec = msgspec.structs.replace(SPEC, candidate=candidate.digest)
    records.apply(Experiment(name="new-model", spec=spec), time.time_ns() // 1_000_000)
    known('rapt_experiment_phase{phase="Running"} == 1')
    known('rapt_predictions_total{arm="candidate"}')
    with _suspended(settings, "candidate"):
        known("rapt_candidate_failures_total > 1")
    known("rapt_experiment_lift_lower")
    known('rapt_feed_videos_total{outcome="encoded"}')
    known('rapt_feed_videos_total{outcome="rejected"}')
    with _suspended(settings, "predictor"):
        known('rapt_request_seconds_count{code=~"5..", route=~".+:predict"} > 1')
    known("rapt_predictor_call_failures_total")
    records.apply(Experiment(name="new-model", spec=msgspec.structs.replace(spec, decision="promote")), 1)
    until(lambda: records.get("new-model").status.phase is Phase.PROMOTED, "it is promoted")  # type: ignore[union-attr]
    known(f'rapt_predictions_total{{arm="stable", model=~"{candidate.digest[:12]}.*"}}')
    known(filled(asked()[f"{BOARDS[0].uid}: mark Retrainings ended"], "15s"))  # a minute after one has
    requests = came.requests
    until(lambda: came.requests > requests + 200, "requests with all that")


@contextmanager
def _viewers(settings: Settings) -> Iterator[Traffic]:
    """Simulated viewers who ask all the while."""
    latents, catalog, _, _ = small_world()
    plan = Plan(settings.endpoint, RATE, 0, candidates=30, timeout_s=30)
    kafka = KafkaSettings.from_env(settings.stream_environment())
    with watching(Audience(catalog, latents, VIEWERS, seed=1), kafka, plan) as came:
        yield came


@contextmanager
def _suspended(settings: Settings, name: str) -> Iterator[None]:
    """A process that hangs meanwhile."""
    process = service.find(name, settings.run_folder)
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def _twin(bundle: Bundle, folder: Path) -> Bundle:
    """The same model under another digest."""
    shutil.copytree(bundle.folder, folder)
    about = {name: value for name, value in bundle.manifest.items() if name not in {"format", "files"}}
    return open_bundle(folder, seal(folder, {**about, "twin": True}))


def _publish(store: ObjectStore, made: Bundle) -> None:
    at_ms = time.time_ns() // 1_000_000
    models.publish_bundle(store, made.folder, made.digest, Path("/nonexistent"), published_at_ms=at_ms)


def test_what_an_alert_compares_is_taken_apart() -> None:
    assert operands("a > 1 or increase(b[1h]) > 0") == ["a", "increase(b[1h])"]
    assert operands('a < 0.01 and on (x, y) c{p="R"} == 1') == ["a", 'c{p="R"}']
    assert operands("absent(a)") == ["a"]
    assert operands("abs(a - 1) > 0.15") == ["abs(a - 1)"]


def test_every_query_has_data(day: Day) -> None:
    here = {where: query for where, query in asked().items() if not names(query, NOT_ON_A_LAPTOP)}
    assert len(here) > len(ALERTS) + len(BOARDS)
    assert {where: query for where, query in here.items() if not day.values(query)} == {}


def test_what_nobody_exports_has_no_data(day: Day) -> None:
    assert day.values("rapt_exposures_lost") == []


def test_what_a_laptop_does_not_have_is_asked_for_somewhere() -> None:
    assert {name for query in asked().values() for name in names(query, NOT_ON_A_LAPTOP)} == NOT_ON_A_LAPTOP.keys()


def test_prometheus_judges_every_alert_and_fires_the_one_that_is_due(day: Day) -> None:
    groups = day.prometheus.get("rules")["groups"]
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert rules.keys() == ALERTS.keys()
    assert {name: rule.get("lastError") for name, rule in rules.items() if rule["health"] != "ok"} == {}
    assert rules["RaptRetrainingFailed"]["state"] == "firing"
