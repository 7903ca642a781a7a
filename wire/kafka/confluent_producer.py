"""A producer on confluent-kafka."""

from __future__ import annotations

import threading
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka import Producer as Client

from wire.errors import BufferFull, DeliveryFailed, KafkaError
from wire.kafka import failures
from wire.kafka.confluent_client import connected, named
from wire.kafka.records import Headers
from wire.kafka.settings import KafkaSettings

CLOSE_S = 5.0


class ConfluentProducer:
    """See `wire.kafka.records.Producer`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._failed = 0
        self._failures: list[KafkaError] = []
        self._producer = connected(
            Client,
            settings,
            {
                "enable.idempotence": True,
                "acks": "all",
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "delivery.timeout.ms": 120_000,
                "queue.buffering.max.messages": 100_000,
                "queue.buffering.max.kbytes": 32 << 10,
                "message.max.bytes": 1 << 20,
                "topic.metadata.propagation.max.ms": 5000,
                "delivery.report.only.error": True,
                "on_delivery": self._gave_up,
            },
        )

    def send(self, topic: str, key: bytes, value: bytes | None, headers: Headers = ()) -> None:
        failures.refuse_too_large(topic, key, value, headers)
        try:
            self._producer.produce(topic, value, key, headers=list(headers))
        except BufferError as error:
            self._producer.poll(0)
            raise BufferFull(
                f"{len(self._producer)} records wait for Kafka at {self._settings.bootstrap}: "
                "it is slow or away; send this record later"
            ) from error
        except KafkaException as error:
            raise named(self._settings, topic, error.args[0]) from error
        self._producer.poll(0)

    def flush(self, timeout_s: float) -> None:
        waiting = self._producer.flush(timeout_s)
        with self._lock:
            lost, self._failures = self._failures, []
        if lost:
            raise DeliveryFailed(f"{len(lost)} records not acknowledged, the first: {lost[0]}")
        if waiting:
            raise DeliveryFailed(f"{waiting} records not acknowledged within {timeout_s:g} s")

    @property
    def unacknowledged(self) -> int:
        self._producer.poll(0)
        return len(self._producer)

    @property
    def failed(self) -> int:
        self._producer.poll(0)
        return self._failed

    def close(self) -> None:
        self._producer.flush(CLOSE_S)

    def _gave_up(self, error: Any, message: Any) -> None:
        if error is None:
            return
        with self._lock:
            self._failed += 1
            self._failures.append(named(self._settings, message.topic(), error))
