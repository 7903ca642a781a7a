"""The closed loop: viewers ask a real HTTP server, and react to its ranking."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from inference.errors import EndpointUnavailable
from interest.records import Event, Kind
from interest.simulator.audience import Audience
from rapt import cli
from rapt.errors import NoWorld
from rapt.traffic import NOBODY_FREE, Plan, Traffic, line, run
from tests.brokers import EmbeddedBroker
from tests.rapt.endpoint import DIGEST, Endpoint, serving
from tests.rapt.published import publish, world
from tests.rapt.stream import events_of, make_topics
from wire.errors import DeliveryFailed, KafkaDenied
from wire.objects import ObjectStore

RAPT = str(Path(sys.executable).with_name("rapt"))


class Sent:
    """A producer that keeps what it is given."""

    def __init__(self, failure: str = "") -> None:
        self.events: list[Event] = []
        self.failure = failure
        self.unacknowledged = self.failed = 0

    def send(self, topic: str, key: bytes, value: bytes | None, headers: object = ()) -> None:  # noqa: ARG002
        event = msgspec.json.decode(value or b"", type=Event)
        assert (topic, key) == ("events", event.user_id.encode())
        self.events.append(event)

    def flush(self, timeout_s: float) -> None:  # noqa: ARG002
        if self.failure:
            raise DeliveryFailed(self.failure)

    def close(self) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving() as running:
        yield running


def audience(users: int = 30) -> Audience:
    return Audience(*world(), users, 0)


def test_requests_leave_at_the_rate_and_every_page_becomes_events(endpoint: Endpoint) -> None:
    sent = Sent()
    begun = time.monotonic()
    came = run(audience(200), sent, Plan(endpoint.url, rate=40, seconds=1))
    assert time.monotonic() - begun > 39 / 40
    assert came.requests == len(endpoint.asked) == 40
    assert not came.failures
    assert came.events == len(sent.events) == 40 * 5 * 2
    assert came.ranked.shown + came.randomised.shown == 200
    assert came.models == {DIGEST[:12]: 40}
    assert came.document()["state_age_ms"] == {"p50": 7.0, "p90": 7.0, "p99": 7.0}
    for _, body in endpoint.asked:
        (instance,) = body["instances"]
        assert len(set(instance["video_ids"])) == 50


def test_the_best_of_the_candidates_are_shown_in_their_order(endpoint: Endpoint) -> None:
    sent = Sent()
    endpoint.score = lambda _, video_id: 1 - int(video_id.removeprefix("sim-")) / 100
    run(audience(), sent, Plan(endpoint.url, rate=50, seconds=0.5, randomised_share=0))
    asked = {f"r{number}": body["instances"][0] for number, (_, body) in enumerate(endpoint.asked, start=1)}
    shown: dict[str, list[str]] = {}
    for event in sent.events:
        if event.kind is Kind.IMPRESSION:
            assert not event.randomised
            assert event.user_id == asked[event.request_id]["user_id"]
            shown.setdefault(event.request_id, []).append(event.video_id)
    assert shown == {request: sorted(instance["video_ids"])[:5] for request, instance in asked.items()}


def test_a_model_that_knows_the_viewers_earns_more_than_chance(endpoint: Endpoint) -> None:
    crowd = audience(100)
    taste = {user: crowd.viewers.taste[row] for row, user in enumerate(crowd.users)}
    topics = {video.video_id: crowd.viewers.latents.t[row] for row, video in enumerate(crowd.catalog)}
    endpoint.score = lambda user, video: float(1 / (1 + np.exp(-taste[user] @ topics[video])))
    came = run(crowd, Sent(), Plan(endpoint.url, rate=200, seconds=1, randomised_share=0.5))
    ranked, randomised = came.ranked.share, came.randomised.share
    assert ranked is not None
    assert randomised is not None
    assert ranked > 1.2 * randomised


def test_a_slow_endpoint_cannot_hide_its_queue(endpoint: Endpoint) -> None:
    """One viewer at 20 requests a second, and an endpoint that takes 0.2 s: three of four find nobody free."""
    endpoint.answer = lambda _: time.sleep(0.2) or (503, {"error": "later"})
    came = run(audience(1), Sent(), Plan(endpoint.url, rate=20, seconds=1))
    assert came.requests == 0
    assert 1 <= came.failures["not available"] <= 5
    assert came.failures["not available"] + came.failures[NOBODY_FREE] == 20


def test_failures_are_counted_by_what_they_are_and_send_no_events(endpoint: Endpoint) -> None:
    answers = iter([(400, {"error": "bad"}), (503, {"error": "viewers' states: the feeder does not run"})])
    endpoint.answer = lambda _: next(answers)
    sent = Sent()
    came = run(audience(), sent, Plan(endpoint.url, rate=2, seconds=1))
    assert came.failures == {"refused with 400": 1, "not available": 1}
    assert came.last_failure.startswith("viewers' states: the feeder does not run (503 from http://")
    assert sent.events == []


def test_events_that_are_not_acknowledged_are_told(endpoint: Endpoint) -> None:
    came = run(audience(), Sent("topic events: no broker"), Plan(endpoint.url, rate=10, seconds=0.2))
    assert came.undelivered == "topic events: no broker"


def test_what_makes_every_event_fail_stops_it(endpoint: Endpoint) -> None:
    class Denied(Sent):
        def send(self, *_: object) -> None:
            raise KafkaDenied("no right to write to topic events")

    with pytest.raises(KafkaDenied, match="no right"):
        run(audience(), Denied(), Plan(endpoint.url, rate=10, seconds=20))


def test_the_live_line_says_how_it_goes() -> None:
    traffic = Traffic(requests=3, latency_ms=[1.0, 2.0, 3.0], state_age_ms=[4, 4, 4], seconds=2.0)
    traffic.ranked.shown, traffic.ranked.engaged = 10, 4
    traffic.failures["refused with 400"] = 2
    assert line(traffic) == (
        "2 s  1.5/s  latency p50 2.0 ms, p99 3.0 ms  state age p99 4 ms  engaged ranked 40.0%  failed 2"
    )
    assert line(Traffic()) == "0 s  0/s"


@pytest.fixture
def environment(object_store_env: dict[str, str], embedded_broker: EmbeddedBroker, tmp_path: Path) -> dict[str, str]:
    env = object_store_env | {
        "RAPT_HOME": str(tmp_path / "home"), "RAPT_KAFKA_BOOTSTRAP": embedded_broker.service.address,
    }  # fmt: skip
    make_topics(env)
    return env


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_or_sigterm_ends_it_with_all_events_acknowledged_and_the_summary(
    endpoint: Endpoint, environment: dict[str, str], object_store: ObjectStore, tmp_path: Path, number: signal.Signals
) -> None:
    digest = publish(object_store, tmp_path / "model", simulated=True)
    enough, begun_ms = threading.Event(), time.time_ns() // 1_000_000
    endpoint.score = lambda *_: float(len(endpoint.asked) < 40 or not enough.set())
    command = [RAPT, "traffic", "--rate", "20", "--seconds", "0", "--users", "40", "--json", "--model", digest,
               "--endpoint", endpoint.url]  # fmt: skip
    running = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        while not enough.wait(0.1):
            assert running.poll() is None, running.communicate()
        running.send_signal(number)
        out, complaint = running.communicate(timeout=60)
    finally:
        running.kill()
        running.communicate()
    assert running.returncode == 0, complaint
    assert "Traceback" not in complaint
    came = json.loads(out)
    assert came["requests"] >= 19
    assert came["undelivered"] == ""
    requests = {f"r{number}" for number in range(1, len(endpoint.asked) + 1)}
    users = {body["instances"][0]["user_id"] for _, body in endpoint.asked}

    seen: set[str] = set()

    def new_and_mine(event: Event) -> bool:
        """A busy broker may have an event twice: what is not acknowledged in time is sent again."""
        if event.event_id in seen or event.ts_ms < begun_ms:
            return False
        seen.add(event.event_id)
        return event.user_id in users and event.request_id in requests

    assert len(events_of(environment, new_and_mine, came["events"])) == came["events"]


def test_a_short_run_prints_its_table(
    endpoint: Endpoint, environment: dict[str, str], object_store: ObjectStore, tmp_path: Path
) -> None:
    digest = publish(object_store, tmp_path / "model", simulated=True)
    command = ["traffic", "--rate", "20", "--seconds", "0.5", "--model", digest, "--endpoint", endpoint.url]
    done = CliRunner(env=environment).invoke(cli.app, command, catch_exceptions=False)
    assert done.exit_code == 0
    assert "requests               10 in " in done.stdout
    assert f"models                 {DIGEST[:12]} 10" in done.stdout


def test_a_model_of_real_viewers_has_no_world_to_ask(
    endpoint: Endpoint, environment: dict[str, str], object_store: ObjectStore, tmp_path: Path
) -> None:
    digest = publish(object_store, tmp_path / "model", simulated=False)
    done = CliRunner(env=environment).invoke(cli.app, ["traffic", "--model", digest, "--endpoint", endpoint.url])
    assert isinstance(done.exception, NoWorld)
    assert f"model {digest[:12]} did not come from a simulated world" in str(done.exception)
    assert endpoint.asked == []


def test_an_endpoint_that_is_not_ready_is_told_before_anything_is_sent(
    endpoint: Endpoint, environment: dict[str, str], object_store: ObjectStore, tmp_path: Path
) -> None:
    endpoint.ready = False
    digest = publish(object_store, tmp_path / "model", simulated=True)
    done = CliRunner(env=environment).invoke(cli.app, ["traffic", "--model", digest, "--endpoint", endpoint.url])
    assert isinstance(done.exception, EndpointUnavailable)
    assert "rapt status" in str(done.exception)
