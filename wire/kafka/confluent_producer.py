"""A producer on confluent-kafka."""

from __future__ import annotations

import threading
import time
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka import Producer as Client

from wire.errors import KafkaError
from wire.kafka import failures, limits
from wire.kafka.confluent_client import Heard, connected, named
from wire.kafka.records import Headers
from wire.kafka.settings import KafkaSettings

LOOK_S = 0.002

REASON_S = 0.5


class ConfluentProducer:
    """See `wire.kafka.records.Producer`."""

    def __init__(self, settings: KafkaSettings, *, idempotent: bool = True, linger_ms: int = limits.LINGER_MS) -> None:
        self._settings = settings
        self._heard = Heard(settings)
        self._lock = threading.Lock()
        self._failed = 0
        self._lost: list[KafkaError] = []
        self._producer = connected(
            Client,
            settings,
            self._heard,
            {
                "enable.idempotence": idempotent,
                "max.in.flight": 5 if idempotent else 1,
                "acks": "all",
                "partitioner": "murmur2_random",
                "linger.ms": linger_ms,
                "delivery.timeout.ms": limits.DELIVERY_MS,
                "queue.buffering.max.messages": limits.MAX_WAITING,
                "queue.buffering.max.kbytes": limits.MAX_WAITING_BYTES >> 10,
                "message.max.bytes": limits.MAX_REQUEST_BYTES,
                "topic.metadata.propagation.max.ms": 3000,
                "delivery.report.only.error": True,
                "on_delivery": self._gave_up,
            },
        )

    def send(self, topic: str, key: bytes, value: bytes | None, headers: Headers = ()) -> None:
        failures.checked_size(topic, key, value, headers)
        try:
            self._producer.produce(topic, value, key, headers=list(headers) or None)
        except BufferError as error:
            self._serve()
            raise failures.buffer_full(self._settings, len(self._producer)) from error
        except KafkaException as error:
            if self._heard.fatal is None:
                # It may refuse before it has called back with the reason.
                self._serve(REASON_S)
            raise named(self._settings, topic, self._heard.fatal or error.args[0]) from error
        self._serve()

    def flush(self, timeout_s: float) -> None:
        waiting = self._drain(timeout_s)
        with self._lock:
            lost, self._lost = self._lost, []
        failures.raise_undelivered(lost, waiting, timeout_s, self._heard.refusal.reason)

    @property
    def unacknowledged(self) -> int:
        self._serve()
        return len(self._producer)

    @property
    def failed(self) -> int:
        self._serve()
        return self._failed

    def close(self) -> None:
        self._drain(limits.CLOSE_S)
        self._producer.close()

    def _serve(self, timeout_s: float = 0.0) -> None:
        """Have the library call back what it has to tell, now or within `timeout_s`."""
        try:
            self._producer.poll(timeout_s)
        except KafkaException as error:  # it cannot go on (no right to write anything, say) and tells that once
            self._heard(error.args[0])

    def _drain(self, timeout_s: float) -> int:
        """Wait until nothing is on its way, and return how much still is.

        Not by the library's `flush`: after an error with which it cannot go on, confluent-kafka 2.16 calls back
        from there with that exception pending, and what runs in the callback fails at a random place.
        """
        give_up_at = time.monotonic() + timeout_s
        while len(self._producer) and time.monotonic() < give_up_at:
            self._serve(LOOK_S)
        return len(self._producer)

    def _gave_up(self, error: Any, message: Any) -> None:
        if error is None:
            return
        with self._lock:
            self._failed += 1
            self._lost.append(named(self._settings, message.topic(), self._heard.fatal or error))
