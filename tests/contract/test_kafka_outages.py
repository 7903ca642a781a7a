"""Brokers that die in the middle of it: clients come back by themselves, and nothing acknowledged is lost."""

import time
from collections.abc import Iterator

import pytest

from tests.contract.streams import IN_FLIGHT, Sender, Stream, all_of, check, put, reading, take, to_the_end, writing
from wire.errors import BufferFull, DeliveryFailed
from wire.kafka import Client

pytestmark = pytest.mark.slow
RECOVERY_S = 60.0


@pytest.fixture(autouse=True)
def running(request: pytest.FixtureRequest) -> Iterator[None]:
    """Other tests find their broker alive, whatever happened here."""
    names = [name for name in ("stream", "real_kafka") if name in request.fixturenames]
    brokers = [request.getfixturevalue(name).broker for name in names]
    yield
    for broker in brokers:
        if not broker.alive:
            broker.start()


def test_a_kill_under_load_loses_nothing(stream: Stream, client: Client) -> None:
    topic = stream.topic()
    with writing(stream.settings, client) as writer, reading(stream.settings, all_of(topic), client) as reader:
        sender = Sender(writer, topic)
        sender.start()
        try:
            found = take(reader, 2000)
            assert len(found) >= 2000
            stream.broker.kill()
            stream.broker.start()
            before = len(found)
            give_up_at = time.monotonic() + RECOVERY_S
            while len(found) < before + IN_FLIGHT + 2000 and time.monotonic() < give_up_at:
                found += reader.poll(1000, 0.5)
            assert len(found) >= before + IN_FLIGHT + 2000
        finally:
            sender.ended.set()
            sender.join()
        writer.flush(RECOVERY_S)
        found += take(reader, sender.sent - len(found)) + to_the_end(reader)
        assert writer.failed == 0
    check(found, sender.sent, once=stream.name != "embedded")
    with reading(stream.settings, all_of(topic), client) as reader:
        check(to_the_end(reader), sender.sent, once=stream.name != "embedded")


def test_a_reader_waits_for_a_broker_that_is_away(real_kafka: Stream, client: Client) -> None:
    topic = real_kafka.topic(1)
    put(real_kafka.settings, client, topic, [(b"k", b"before")])
    with reading(real_kafka.settings, {(topic, 0): 0}, client) as reader:
        assert len(take(reader, 1)) == 1
        real_kafka.broker.kill()
        began = time.monotonic()
        assert reader.poll(10, 1.0) == []
        assert time.monotonic() - began < 30
        real_kafka.broker.start()
        put(real_kafka.settings, client, topic, [(b"k", b"after")])
        assert [one.value for one in take(reader, 1)] == [b"after"]


def test_a_full_buffer_is_said_at_once_and_sent_later(real_kafka: Stream, client: Client) -> None:
    topic = real_kafka.topic(1)
    value = b"v" * 900_000
    with writing(real_kafka.settings, client) as writer:
        writer.send(topic, b"k", b"0")
        writer.flush(30)
        real_kafka.broker.kill()
        taken = 0
        with pytest.raises(BufferFull, match="this one was not taken"):
            while taken < 100:
                began = time.monotonic()
                writer.send(topic, b"k", value)
                taken += 1
                assert time.monotonic() - began < 30
        assert 30 <= taken <= 40
        assert writer.unacknowledged == taken
        with pytest.raises(DeliveryFailed, match=f"{taken} records are not acknowledged after 0.2 s"):
            writer.flush(0.2)
        real_kafka.broker.start()
        writer.flush(RECOVERY_S)
        assert (writer.unacknowledged, writer.failed) == (0, 0)
    with reading(real_kafka.settings, {(topic, 0): 1}, client) as reader:
        assert len(take(reader, taken)) == taken
