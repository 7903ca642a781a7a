"""Tells all transformers which experiments run: topic `arms`, one record a change, with a version that only grows."""

from __future__ import annotations

import time

import msgspec

from interest.experiments.assignment import Allocation, Trial
from wire.errors import KafkaUnavailable
from wire.kafka import ARMS, EARLIEST, KafkaSettings, consumer, producer

KEY = b"allocation"
FLUSH_S, READ_S = 10.0, 30.0


class ArmsWriter:
    """The one writer of the topic; `current` is what it said last."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        self.current = newest(settings)
        self._producer = producer(settings)

    def say(self, trials: tuple[Trial, ...]) -> bool:
        """Have these trials in effect, acknowledged by the brokers; False when they are already. Raises KafkaError."""
        if trials == self.current.trials:
            return False
        made = Allocation(version=max(self.current.version + 1, time.time_ns() // 1_000_000), trials=trials)
        self._producer.send(ARMS, KEY, msgspec.json.encode(made))
        self._producer.flush(FLUSH_S)
        self.current = made
        return True

    def close(self) -> None:
        """End the client."""
        self._producer.close()


def newest(settings: KafkaSettings) -> Allocation:
    """What is in effect now, by the topic itself; raises KafkaError."""
    place = (ARMS, 0)
    source = consumer(settings, {place: EARLIEST})
    found = Allocation()
    give_up_at = time.monotonic() + READ_S
    try:
        while time.monotonic() < give_up_at:
            for record in source.poll(100, 0.2):
                made = msgspec.json.decode(record.value or b"{}", type=Allocation)
                found = made if made.version > found.version else found
            if source.lags().get(place) == 0:
                return found
    finally:
        source.close()
    raise KafkaUnavailable(f"topic {ARMS!r} was not read to its end within {READ_S:g} s")
