"""The three brokers of the stream's contract, and how its tests read and write them."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.brokers import EmbeddedBroker
from tests.kafka_broker import KafkaBroker
from wire.errors import BufferFull
from wire.kafka import Admin, Client, Consumer, KafkaSettings, Producer, Record, Topic, consumer, producer

DEADLINE_S = 30.0
PARTITIONS = 4
USERS = 20
IN_FLIGHT = 3000


@dataclass(frozen=True)
class Stream:
    """A broker under test: how to reach it as its user, and as one who may do everything."""

    name: str
    settings: KafkaSettings
    owner: KafkaSettings
    broker: EmbeddedBroker | KafkaBroker

    def topic(self, partitions: int = PARTITIONS, **config: str) -> str:
        """The name of a new topic."""
        name = f"contract-{secrets.token_hex(6)}"
        admin = Admin(self.owner)
        admin.create([Topic(name, partitions, {key.replace("_", "."): value for key, value in config.items()})])
        admin.close()
        return name


@contextmanager
def writing(settings: KafkaSettings, client: Client) -> Iterator[Producer]:
    """A producer that is closed in the end."""
    writer = producer(settings, client)
    try:
        yield writer
    finally:
        writer.close()


@contextmanager
def reading(settings: KafkaSettings, starts: Mapping[tuple[str, int], int], client: Client) -> Iterator[Consumer]:
    """A consumer that is closed in the end."""
    reader = consumer(settings, starts, client)
    try:
        yield reader
    finally:
        reader.close()


def all_of(topic: str, partitions: int = PARTITIONS, offset: int = 0) -> dict[tuple[str, int], int]:
    """Starts at one offset of every partition."""
    return {(topic, number): offset for number in range(partitions)}


def take(reader: Consumer, count: int) -> list[Record]:
    """At least `count` records, or as many as come before the deadline."""
    found: list[Record] = []
    give_up_at = time.monotonic() + DEADLINE_S
    while len(found) < count and time.monotonic() < give_up_at:
        found += reader.poll(1000, 0.5)
    return found


def to_the_end(reader: Consumer) -> list[Record]:
    """All that is left to read, or as much as comes before the deadline."""
    found: list[Record] = []
    give_up_at = time.monotonic() + DEADLINE_S
    while time.monotonic() < give_up_at:
        some = reader.poll(10_000, 1.0)
        found += some
        if not some and set(reader.lags().values()) == {0}:
            break
    return found


def put(settings: KafkaSettings, client: Client, topic: str, records: Iterable[tuple[bytes, bytes | None]]) -> None:
    """Send keys and values and wait until they are acknowledged."""
    with writing(settings, client) as writer:
        for key, value in records:
            send_patiently(writer, topic, key, value)
        writer.flush(DEADLINE_S)


def send_patiently(writer: Producer, topic: str, key: bytes, value: bytes | None) -> None:
    """Send, and wait for room when there is none."""
    give_up_at = time.monotonic() + DEADLINE_S
    while True:
        try:
            return writer.send(topic, key, value)
        except BufferFull:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.01)


class Sender(threading.Thread):
    """Sends numbers, each under the key of its user, until it is told to end."""

    def __init__(self, writer: Producer, topic: str) -> None:
        super().__init__()
        self.writer, self.topic, self.sent = writer, topic, 0
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            if self.writer.unacknowledged > IN_FLIGHT:
                time.sleep(0.005)
                continue
            for _ in range(100):
                send_patiently(self.writer, self.topic, b"u%d" % (self.sent % USERS), b"%d" % self.sent)
                self.sent += 1


def check(found: list[Record], sent: int, *, once: bool) -> None:
    """All numbers are there; with `once` none of them twice, and those of a user in order."""
    numbers = Counter(int(one.value or b"") for one in found)
    assert set(numbers) == set(range(sent))
    if once:
        assert len(found) == sent
        for user in range(USERS):
            of_user = [int(one.value or b"") for one in found if one.key == b"u%d" % user]
            assert of_user == list(range(user, sent, USERS))
