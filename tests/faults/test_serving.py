"""kill -9 of each process that serves, under load: nothing acknowledged is lost, nobody is told anything wrong."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import msgspec
import pytest

from inference.state import open_reader
from inference.state.timeline import rebuild
from interest.bundle import Bundle
from interest.records import Event
from rapt import service, stack, supervisor
from tests.inference.endpoint import DEADLINE_S, Endpoint, running, watched
from tests.waiting import until
from wire.errors import KafkaError
from wire.kafka import EVENTS, Client, Record, producer

pytestmark = pytest.mark.slow
USERS = [f"faulty-{number}" for number in range(20)]
CALM_S = 1.0


@pytest.fixture(scope="module")
def supervised(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle) -> Iterator[Endpoint]:
    """The serving side under the laptop's supervisor, which starts again what is killed."""
    with running(tmp_path_factory.mktemp("supervised"), bundle) as endpoint:
        settings = endpoint.settings
        service.start(supervisor.supervisor(settings.run_folder, settings.variables()), settings.run_folder, DEADLINE_S)
        yield endpoint


@dataclass
class Load:
    """Events and requests, as fast as they go, until `ended`; what was acknowledged, and every kind of answer."""

    endpoint: Endpoint
    acknowledged: list[Event] = field(default_factory=list)
    answers: dict[int, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    unreached: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def send(self) -> None:
        """Batches of events; one that is not acknowledged is not counted, and may be there or not."""
        sender = producer(self.endpoint.kafka, Client.CONFLUENT)
        number = time.time_ns() // 1000  # ids of its own in each test
        while not self.ended.is_set():
            batch = []
            for user_id in USERS:
                number += 1
                batch.append(watched(user_id, f"sim-{number % 60:05d}", number, time.time_ns() // 1_000_000))
                sender.send(EVENTS, user_id.encode(), msgspec.json.encode(batch[-1]))
            try:
                sender.flush(DEADLINE_S)
            except KafkaError:
                continue
            self.acknowledged += batch
        sender.close()

    def ask(self) -> None:
        """Requests one after the other; an answer is whole and of the model, or a 503 that says when to come again."""
        picked = random.Random(0)
        with httpx.Client(timeout=30) as client:
            while not self.ended.is_set():
                body = {"instances": [{"user_id": picked.choice(USERS), "video_ids": ["sim-00001", "sim-00002"]}]}
                try:
                    answer = client.post(f"{self.endpoint.url}/v1/models/interest:predict", json=body)
                except httpx.TransportError:
                    self.unreached += 1
                    self.ended.wait(0.05)
                    continue
                self.answers[answer.status_code] = self.answers.get(answer.status_code, 0) + 1
                self._check(answer)

    def _check(self, answer: httpx.Response) -> None:
        if answer.status_code == 200:
            (made,) = answer.json()["predictions"]
            whole = len(made["videos"]) == 2 and all(0 < one["probability"] < 1 for one in made["videos"])
            if not whole or made["model_digest"] != self.endpoint.bundle.digest:
                self.wrong.append(answer.text)
        elif answer.status_code != 503 or "retry-after" not in answer.headers or not answer.json()["error"]:
            self.wrong.append(f"{answer.status_code} {answer.text}")


def answered(load: Load) -> int:
    return load.answers.get(200, 0)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("victim", ["feeder", "predictor", "broker", "object-store", "transformer"])
def test_nothing_acknowledged_is_lost_and_nobody_is_told_wrong(supervised: Endpoint, victim: str) -> None:
    load = Load(supervised)
    threads = [threading.Thread(target=load.send), *(threading.Thread(target=load.ask) for _ in range(2))]
    for thread in threads:
        thread.start()
    try:
        until(lambda: answered(load) > 50 and len(load.acknowledged) > 100, "load")
        before, killed = restarts(supervised, victim), supervised.pid(victim)
        supervised.kill(victim)
        until(
            lambda: restarts(supervised, victim) > before and running_pid(supervised, victim) != killed, "the restart"
        )
        for name in ("feeder", "predictor", "transformer"):
            until(supervised.services[name].ready, f"{name} after the kill of {victim}")
        good, sent = answered(load), len(load.acknowledged)
        until(lambda: answered(load) > good + 50 and len(load.acknowledged) > sent, f"answers after {victim}")
    finally:
        load.ended.set()
        for thread in threads:
            thread.join(DEADLINE_S)
    assert load.wrong == []
    assert set(load.answers) <= {200, 503}
    if victim != "transformer":
        assert load.unreached == 0
    records = supervised.read_all(EVENTS)
    there = {msgspec.json.decode(record.value or b"", type=Event).event_id for record in records}
    lost = [event.event_id for event in load.acknowledged if event.event_id not in there]
    assert lost == [], f"{len(lost)} of {len(load.acknowledged)} acknowledged events are not in the topic"
    the_state_is_what_the_topic_makes(supervised, records)


def the_state_is_what_the_topic_makes(endpoint: Endpoint, records: list[Record]) -> None:
    """Byte for byte, for every viewer."""
    reader = open_reader(endpoint.settings.state_folder)
    for user_id in USERS:
        newest = max(record.offset for record in records if record.key == user_id.encode())
        until(lambda user_id=user_id, newest=newest: reader.read(user_id).offset > newest, "the feeder's catching up")
        state = reader.read(user_id)
        mine = [record for record in records if record.partition == state.partition]
        assert len(state.rows)
        assert state.rows.tobytes() == rebuild(mine, user_id, state.since, state.offset).tobytes(), user_id
        assert state.offset == newest + 1


def restarts(endpoint: Endpoint, name: str) -> int:
    """As `rapt status` tells."""
    return next(one.restarts for one in stack.status(endpoint.settings) if one.name == name)


def running_pid(endpoint: Endpoint, name: str) -> int | None:
    process = service.find(name, endpoint.settings.run_folder)
    return process.pid if process is not None else None
