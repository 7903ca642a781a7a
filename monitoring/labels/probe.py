"""Finds whether partitions that look read to their end still are, by asking the brokers anew with a fresh consumer.

A consumer's own lag stays 0 when its broker dies: it is what the last answer said. One that was opened after the
question knows none before a fetch has answered, so its 0 holds for the moment of the question.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping

from monitoring.labels.partition import TOPICS
from wire.errors import KafkaError
from wire.kafka import UNKNOWN_LAG, Admin, Client, KafkaSettings, consumer

LOG = logging.getLogger(__name__)
EVERY_S = 1.0
ANSWER_S = 5.0
ALIVE_S = 8.0
PARTITIONS_S = 15.0
WAIT_MS = 50
Offsets = Mapping[tuple[str, int], int]


class Probe:
    """Asks once a second in a thread of its own, from `start` to `stop`; `places` are the offsets to ask about.

    `ends`: by (topic, partition) the offset that was the end, and when that was asked in ms.
    """

    def __init__(self, kafka: KafkaSettings, client: Client) -> None:
        self._kafka, self._client = kafka, client
        self._over = threading.Event()
        self._answered = time.monotonic()
        self._counted = time.monotonic()
        self.places: Offsets = {}
        self.ends: Mapping[tuple[str, int], tuple[int, int]] = {}
        self.partitions: tuple[int, ...] = ()
        self.problem = ""

    def start(self) -> None:
        """Begin to ask."""
        threading.Thread(target=self._run, name="probe", daemon=True).start()

    def stop(self) -> None:
        """Ask no more; a question under way is left alone."""
        self._over.set()

    def heard(self) -> None:
        """The brokers have answered just now."""
        self._answered, self.problem = time.monotonic(), ""

    @property
    def alive(self) -> bool:
        """Whether the brokers answered within the last seconds."""
        return time.monotonic() - self._answered < ALIVE_S

    def _run(self) -> None:
        while not self._over.wait(EVERY_S):
            try:
                if time.monotonic() - self._counted >= PARTITIONS_S:
                    self.partitions = partitions(self._kafka)
                    self._counted = time.monotonic()
                    self.heard()
                if self.places:
                    self._ask(self.places)
            except KafkaError as error:
                if not self.problem:
                    LOG.warning("the brokers do not answer: %s", error)
                self.problem = str(error)

    def _ask(self, places: Offsets) -> None:
        asked_ms, give_up_at = time.time_ns() // 1_000_000, time.monotonic() + ANSWER_S
        source = consumer(self._kafka, places, self._client, wait_ms=WAIT_MS)
        try:
            lags = source.lags()
            while UNKNOWN_LAG in lags.values() and time.monotonic() < give_up_at and not self._over.is_set():
                source.poll(1, 0.01)
                lags = source.lags()
        finally:
            source.close()
        # A record that was handed out meanwhile makes the lag of its partition smaller than it was.
        reached = source.positions()
        self.ends = {
            place: (offset, asked_ms)
            for place, offset in places.items()
            if not lags[place] and reached[place] == offset
        }
        if UNKNOWN_LAG not in lags.values():
            self.heard()


def partitions(kafka: KafkaSettings) -> tuple[int, ...]:
    """How many partitions each of TOPICS has; raises KafkaUnavailable, UnknownTopic, KafkaDenied."""
    admin = Admin(kafka)
    try:
        return tuple(map(admin.partitions, TOPICS))
    finally:
        admin.close()
