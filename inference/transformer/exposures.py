"""Exposures on their way to the stream, off the hot path: a bounded queue, and a count of what it could not take."""

from __future__ import annotations

from functools import cache

import msgspec
from prometheus_client import Counter, Gauge

from inference.server.later import Count
from interest.records import Exposure
from wire.errors import BufferFull, DeliveryFailed
from wire.kafka import EXPOSURES, Client, KafkaSettings, Producer, producer

SENT = cache(Count("rapt_exposures", "Exposures handed to the stream", ("arm",)).labels)
UNLOGGED = Counter("rapt_exposures_unlogged", "Answers of the stable arm whose exposure the full queue did not take")
LOST = Counter("rapt_exposures_lost", "Exposures that were taken and not acknowledged in the end; must stay 0")
WAITING = Gauge("rapt_exposures_waiting", "Exposures not acknowledged yet", multiprocess_mode="livesum")
FLUSH_S = 10.0
LINGER_MS = 1000
"""Nobody waits for an exposure, and every batch costs the broker a write to each of its partitions."""


class Exposures:
    """Sends exposures; `healthy` says whether one more would be taken, before a viewer is given an arm."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._producer: Producer = producer(settings, Client.CONFLUENT, linger_ms=LINGER_MS)
        self._encoder = msgspec.json.Encoder()
        self._failed = 0
        self.healthy = True

    def send(self, exposure: Exposure) -> bool:
        """Whether the queue took it."""
        try:
            self._producer.send(EXPOSURES, exposure.user_id.encode(), self._encoder.encode(exposure))
        except BufferFull:
            self.healthy = False
            UNLOGGED.inc()
            return False
        self.healthy = True
        SENT(exposure.arm).note()
        return True

    @property
    def waiting(self) -> int:
        """Exposures that are not acknowledged yet."""
        return self._producer.unacknowledged

    def look(self) -> None:
        """Bring the counts up to date; to be called every now and then."""
        WAITING.set(self.waiting)
        failed = self._producer.failed
        LOST.inc(failed - self._failed)
        self._failed = failed

    def close(self) -> None:
        """Wait until all is acknowledged; what is not by then is counted as lost."""
        try:
            self._producer.flush(FLUSH_S)
        except DeliveryFailed:
            LOST.inc(self._producer.unacknowledged)
        self.look()
        self._producer.close()
