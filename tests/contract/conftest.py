"""The brokers and clients that the stream's contract holds for."""

import pytest

from tests.contract.streams import Stream
from wire.kafka import Client


@pytest.fixture(params=["embedded", "kafka", "kafka-tls"])
def stream(request: pytest.FixtureRequest) -> Stream:
    """Each broker in turn."""
    return named_stream(request, request.param)


@pytest.fixture(params=["kafka", "kafka-tls"])
def real_kafka(request: pytest.FixtureRequest) -> Stream:
    """Apache Kafka, where Tansu does not do the same."""
    return named_stream(request, request.param)


@pytest.fixture
def secure_kafka(request: pytest.FixtureRequest) -> Stream:
    """Apache Kafka with TLS, SCRAM and ACLs."""
    return named_stream(request, "kafka-tls")


@pytest.fixture(params=list(Client))
def client(request: pytest.FixtureRequest) -> Client:
    """Each client in turn."""
    chosen: Client = request.param
    return chosen


def named_stream(request: pytest.FixtureRequest, name: str) -> Stream:
    """One of the three."""
    if name == "embedded":
        embedded = request.getfixturevalue("embedded_broker")
        return Stream(name, embedded.settings, embedded.settings, embedded)
    broker = request.getfixturevalue("kafka_broker")
    return Stream(name, broker.secure() if name == "kafka-tls" else broker.plain, broker.plain, broker)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a real Kafka takes minutes in all; Tansu stands for it among the quick tests."""
    for item in items:
        chosen = getattr(item, "callspec", None)
        brokers = [chosen.params.get(name) for name in ("stream", "real_kafka")] if chosen is not None else []
        if {"kafka", "kafka-tls"} & set(brokers) or {"secure_kafka", "kafka_broker"} & set(
            getattr(item, "fixturenames", ())
        ):
            item.add_marker(pytest.mark.slow)
