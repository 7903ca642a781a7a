"""A producer on kafka-python."""

from __future__ import annotations

import contextlib
import threading
from functools import partial

import kafka
import kafka.errors

from wire.errors import BufferFull, DeliveryFailed
from wire.kafka import failures
from wire.kafka.python_client import connected, named
from wire.kafka.records import Headers
from wire.kafka.settings import KafkaSettings

BATCH_BYTES = 128 << 10
LINGER_MS = 5
LONGEST_BLOCK_MS = 1000
MAX_UNACKNOWLEDGED = 100_000
CLOSE_S = 5.0


class PythonProducer:
    """See `wire.kafka.records.Producer`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._sent = self._done = self._failed = 0
        self._failures: list[tuple[str, BaseException]] = []
        self._producer = connected(
            kafka.KafkaProducer,
            settings,
            enable_idempotence=True,
            acks="all",
            batch_size=BATCH_BYTES,
            linger_ms=LINGER_MS,
            max_block_ms=LONGEST_BLOCK_MS,
            metrics_enabled=False,
            allow_auto_create_topics=False,
        )

    def send(self, topic: str, key: bytes, value: bytes | None, headers: Headers = ()) -> None:
        failures.refuse_too_large(topic, key, value, headers)
        with self._lock:
            if self._sent - self._done >= MAX_UNACKNOWLEDGED:
                raise BufferFull(
                    f"{MAX_UNACKNOWLEDGED} records wait for Kafka at {self._settings.bootstrap}: "
                    "it is slow or away; send this record later"
                )
            self._sent += 1
        try:
            future = self._producer.send(topic, value, key, list(headers))
        except kafka.errors.KafkaTimeoutError as error:
            with self._lock:
                self._sent -= 1
            raise BufferFull(f"Kafka at {self._settings.bootstrap} does not tell where topic {topic!r} lies") from error
        future.add_callback(self._acknowledged)
        future.add_errback(partial(self._gave_up, topic))

    def flush(self, timeout_s: float) -> None:
        with contextlib.suppress(kafka.errors.KafkaTimeoutError):
            self._producer.flush(timeout_s)
        with self._lock:
            lost, self._failures = self._failures, []
            waiting = self._sent - self._done
        if lost:
            topic, error = lost[0]
            raise DeliveryFailed(f"{len(lost)} records not acknowledged, the first for topic {topic!r}: {error}")
        if waiting:
            raise DeliveryFailed(f"{waiting} records not acknowledged within {timeout_s:g} s")

    @property
    def unacknowledged(self) -> int:
        with self._lock:
            return self._sent - self._done

    @property
    def failed(self) -> int:
        return self._failed

    def close(self) -> None:
        self._producer.close(timeout=CLOSE_S)

    def _acknowledged(self, _: object) -> None:
        with self._lock:
            self._done += 1

    def _gave_up(self, topic: str, error: BaseException) -> None:
        with self._lock:
            self._done += 1
            self._failed += 1
            self._failures.append((topic, named(self._settings, topic, error)))
