"""What lies on topic `events`."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from interest.records import Event
from wire.kafka import ALL, EARLIEST, EVENTS, Admin, KafkaSettings, consumer

DEADLINE_S = 60.0


def make_topics(environment: dict[str, str]) -> None:
    """As `rapt up` does."""
    admin = Admin(KafkaSettings.from_env(environment))
    admin.create(ALL)
    admin.close()


def events_of(environment: dict[str, str], mine: Callable[[Event], bool], count: int) -> list[Event]:
    """The first `count` events that are `mine`, by partition in their order."""
    settings = KafkaSettings.from_env(environment)
    reading = consumer(settings, {(EVENTS, number): EARLIEST for number in range(8)})
    found: list[Event] = []
    give_up_at = time.monotonic() + DEADLINE_S
    try:
        while len(found) < count:
            assert time.monotonic() < give_up_at, f"{len(found)} of {count} events came"
            for record in reading.poll(500, 0.2):
                event = msgspec.json.decode(record.value or b"", type=Event)
                if mine(event):
                    assert record.key == event.user_id.encode()
                    found.append(event)
    finally:
        reading.close()
    return found
