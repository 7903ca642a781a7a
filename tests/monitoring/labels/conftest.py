"""A Kafka of the joiner's own, topics and a bucket of each test's own, and joiners to start and kill."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import urllib3
from kafka.admin import KafkaAdminClient

from interest.records import Event, Exposure
from tests.brokers import real_kafka
from tests.kafka_broker import KafkaBroker
from tests.monitoring.labels.stream import Row, encode, naive, rows_of
from tests.ports import free_ports
from tests.waiting import until
from wire import observations
from wire.kafka import CONTENT, EARLIEST, EVENTS, EXPOSURES, Admin, Client, KafkaSettings, Topic, consumer, producer
from wire.objects import ObjectStore

DEADLINE_S = 60.0
WINDOW_S, SLACK_S = 1.5, 0.5
SETTINGS = {
    "RAPT_LABEL_WINDOW_S": str(WINDOW_S),
    "RAPT_LABEL_SLACK_S": str(SLACK_S),
    "RAPT_LABEL_COMMIT_S": "0.1",
    "RAPT_LABEL_ROWS_S": "0.2",
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A real Kafka without topics."""
    with real_kafka(tmp_path_factory.mktemp("kafka")) as one:
        yield one


@pytest.fixture
def fresh(broker: KafkaBroker) -> KafkaSettings:
    """The Kafka with empty topics of two partitions."""
    make_topics(broker.plain)
    return broker.plain


def make_topics(kafka: KafkaSettings, exposures: int = 2, events: int = 2) -> None:
    """Delete the topics where they are, and make them."""
    names = (EXPOSURES, EVENTS, CONTENT)
    admin = Admin(kafka)
    client = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    try:
        if there := [name for name in admin.topics() if name in names]:
            client.delete_topics(there)
            until(lambda: not set(names) & set(admin.topics()), "the topics are gone")
        admin.create([Topic(EXPOSURES, exposures), Topic(EVENTS, events), Topic(CONTENT, 1)])
    finally:
        client.close()
        admin.close()


def send(kafka: KafkaSettings, *records: Exposure | Event) -> None:
    """Send and wait until all is acknowledged."""
    sender = producer(kafka, Client.CONFLUENT)
    for one in records:
        topic = EXPOSURES if isinstance(one, Exposure) else EVENTS
        sender.send(topic, one.user_id.encode(), encode(one))
    sender.flush(30)
    sender.close()


def wanted(kafka: KafkaSettings, partitions: int = 2) -> list[Row]:
    """The rows that what is in the topics now makes, by the plainest join."""
    starts = {(topic, number): EARLIEST for topic in (EXPOSURES, EVENTS) for number in range(partitions)}
    source = consumer(kafka, starts, Client.CONFLUENT)
    found: dict[str, list[tuple[int, bytes]]] = {EXPOSURES: [], EVENTS: []}
    try:
        until(lambda: not _read(source, found) and not any(source.lags().values()), "the topics are read")
    finally:
        source.close()
    return naive(
        [(ms, msgspec.json.decode(value, type=Exposure)) for ms, value in found[EXPOSURES]],
        [(ms, msgspec.json.decode(value, type=Event)) for ms, value in found[EVENTS]],
        round(WINDOW_S * 1000), round(SLACK_S * 1000), {},
    )  # fmt: skip


def _read(source: Any, found: dict[str, list[tuple[int, bytes]]]) -> int:
    records = source.poll(10_000, 0.2)
    for record in records:
        found[record.topic].append((record.ts_ms, record.value or b""))
    return len(records)


@dataclass
class JoinerProcess:
    """A joiner that a test starts, asks and kills; its output is kept in `log`."""

    folder: Path
    environment: dict[str, str]
    port: int = field(default_factory=free_ports)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """All that it said."""
        return (self.folder / f"joiner-{self.port}.log").read_text()

    @property
    def store(self) -> ObjectStore:
        """Where it writes."""
        return ObjectStore.from_env(self.environment)

    def start(self, *, ready: bool = True) -> None:
        """Start it and wait until it is ready."""
        with (self.folder / f"joiner-{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "monitoring.labels", "--host", "127.0.0.1", "--port", str(self.port)],
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
            )
        if ready:
            until(self.ready, "the joiner is ready")

    def get(self, path: str) -> urllib3.BaseHTTPResponse | None:
        """The answer, None while it does not listen."""
        try:
            return urllib3.request("GET", f"http://127.0.0.1:{self.port}{path}", timeout=5, retries=False)
        except urllib3.exceptions.HTTPError:
            assert self.process is not None
            assert self.process.poll() is None, f"the joiner ended: {self.log[-3000:]}"
            return None

    def ready(self) -> bool:
        answer = self.get("/ready")
        return answer is not None and answer.status == 200

    def status(self) -> dict[str, Any]:
        answer = self.get("/status")
        assert answer is not None
        found: dict[str, Any] = json.loads(answer.data)
        return found

    def tell(self, number: int) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and wait for the end."""
        self.tell(number)
        assert self.process is not None
        return self.process.wait(DEADLINE_S)

    def rows(self) -> list[Row]:
        """All observations that count; raises when a segment is not what its commit says."""
        newest = observations.head(self.store)
        if newest is None:
            return []
        commits = list(observations.commits(self.store, 0, newest.seq))
        assert [one.seq for one in commits] == list(range(1, newest.seq + 1))
        return rows_of(observations.read(self.store, one.key) for commit in commits for one in commit.segments)

    def seq(self) -> int:
        """The head's number, 0 before there is one."""
        newest = observations.head(self.store)
        return newest.seq if newest else 0

    def has(self, rows: list[Row]) -> bool:
        """Whether as many are written."""
        newest = observations.head(self.store)
        return newest is not None and newest.counters.get("rows", 0) >= len(rows)


Start = Callable[..., JoinerProcess]


@pytest.fixture
def joiner(
    tmp_path: Path, request: pytest.FixtureRequest, object_store_env: dict[str, str]
) -> Iterator[Callable[..., JoinerProcess]]:
    """Makes joiners, not yet started, that share a bucket of this test's own."""
    bucket = f"labels-{secrets.token_hex(6)}"
    with ExitStack() as stack:

        def make(kafka: KafkaSettings, **more: str) -> JoinerProcess:
            environment = {**object_store_env, **SETTINGS, "RAPT_S3_BUCKET": bucket}
            one = JoinerProcess(tmp_path, {**environment, "RAPT_KAFKA_BOOTSTRAP": kafka.bootstrap, **more})
            stack.callback(_kill, one)
            return one

        yield make


def _kill(one: JoinerProcess) -> None:
    if one.process is not None and one.process.poll() is None:
        one.tell(signal.SIGCONT)
        one.end(signal.SIGKILL)
