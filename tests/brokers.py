"""Fixtures with brokers, one of each kind a session: Tansu on SeaweedFS, and a real Kafka."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from rapt.errors import PortInUse, ServiceFailed
from rapt.service import Service, find, start, stop
from rapt.tansu import tansu
from tests.kafka_broker import KafkaBroker, KafkaMissing, jars, missing_programs
from tests.ports import free_ports
from wire.kafka import KafkaSettings


@dataclass
class EmbeddedBroker:
    """A Tansu that can be killed and started again."""

    service: Service
    run_folder: Path

    @property
    def settings(self) -> KafkaSettings:
        """Where it listens."""
        return KafkaSettings(self.service.address)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return find(self.service.name, self.run_folder) is not None

    def start(self) -> None:
        """Start it and wait until it answers."""
        start(self.service, self.run_folder, deadline_s=30)

    def kill(self) -> None:
        """End it as a power cut would."""
        process = find(self.service.name, self.run_folder)
        assert process is not None
        process.kill()
        process.wait()


def start_embedded(folder: Path, environment: dict[str, str]) -> EmbeddedBroker:
    """A started Tansu on a port that was free."""
    for attempt in range(5):
        broker = EmbeddedBroker(tansu(folder / "data", free_ports(), environment), folder / "run")
        try:
            broker.start()
            return broker
        except (PortInUse, ServiceFailed):
            if attempt == 4:
                raise
    raise AssertionError


@pytest.fixture(scope="session")
def embedded_broker(
    object_store_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedBroker]:
    """The laptop's broker on the session's object store; topics are shared, so use names of your own."""
    broker = start_embedded(tmp_path_factory.mktemp("broker"), object_store_env)
    yield broker
    stop(broker.service.name, broker.run_folder, grace_s=0.1)


@contextmanager
def real_kafka(folder: Path) -> Iterator[KafkaBroker]:
    """Inside, a Kafka in that folder runs; skips where Java or Maven are missing."""
    if reason := missing_programs():
        pytest.skip(reason)
    try:
        libs = jars()
    except KafkaMissing as error:
        pytest.skip(str(error))
    broker = KafkaBroker(folder, libs)
    try:
        broker.prepare("a password")
        yield broker
    finally:
        broker.kill()


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A real Kafka; topics are shared, so use names of your own. Skips where Java or Maven are missing."""
    with real_kafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker
