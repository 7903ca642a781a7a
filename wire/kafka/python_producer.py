"""A producer on kafka-python."""

from __future__ import annotations

import contextlib
import threading
from functools import partial

import kafka
import kafka.errors

from wire.errors import BufferFull, KafkaError, KafkaUnavailable
from wire.kafka import failures, limits
from wire.kafka.admin import Admin
from wire.kafka.python_client import connected, named
from wire.kafka.records import Headers
from wire.kafka.refusal import Refusal
from wire.kafka.settings import KafkaSettings

BATCH_BYTES = 128 << 10
LONGEST_BLOCK_MS = 500


class PythonProducer:
    """See `wire.kafka.records.Producer`."""

    def __init__(self, settings: KafkaSettings, *, idempotent: bool = True, linger_ms: int = limits.LINGER_MS) -> None:
        self._settings = settings
        self._refusal = Refusal()
        self._lock = threading.Lock()
        self._waiting = self._waiting_bytes = self._failed = 0
        self._lost: list[KafkaError] = []
        self._producer = connected(
            kafka.KafkaProducer,
            settings,
            self._refusal,
            enable_idempotence=idempotent,
            max_in_flight_requests_per_connection=5 if idempotent else 1,
            acks="all",
            batch_size=BATCH_BYTES,
            linger_ms=linger_ms,
            delivery_timeout_ms=limits.DELIVERY_MS,
            max_block_ms=LONGEST_BLOCK_MS,
            max_request_size=limits.MAX_REQUEST_BYTES,
            metrics_enabled=False,
        )

    def send(self, topic: str, key: bytes, value: bytes | None, headers: Headers = ()) -> None:
        size = failures.checked_size(topic, key, value, headers)
        with self._lock:
            if self._waiting >= limits.MAX_WAITING or self._waiting_bytes + size > limits.MAX_WAITING_BYTES:
                raise failures.buffer_full(self._settings, self._waiting)
            self._waiting += 1
            self._waiting_bytes += size
        try:
            future = self._producer.send(topic, value, key, list(headers))
        except kafka.errors.KafkaTimeoutError as error:
            self._settle(topic, size, None)
            raise self._unplaced(topic) from error
        except BaseException:
            self._settle(topic, size, None)
            raise
        future.add_callback(partial(self._acknowledged, topic, size))
        future.add_errback(partial(self._settle, topic, size))

    def flush(self, timeout_s: float) -> None:
        with contextlib.suppress(kafka.errors.KafkaTimeoutError):
            self._producer.flush(timeout_s)
        with self._lock:
            lost, self._lost = self._lost, []
            waiting = self._waiting
        failures.raise_undelivered(lost, waiting, timeout_s, self._refusal.reason)

    @property
    def unacknowledged(self) -> int:
        return self._waiting

    @property
    def failed(self) -> int:
        return self._failed

    def close(self) -> None:
        self._producer.close(timeout=limits.CLOSE_S)

    def _acknowledged(self, topic: str, size: int, _: object) -> None:
        self._settle(topic, size, None)

    def _settle(self, topic: str, size: int, error: BaseException | None) -> None:
        with self._lock:
            self._waiting -= 1
            self._waiting_bytes -= size
            if error is not None:
                self._failed += 1
                self._lost.append(named(self._settings, topic, error))

    def _unplaced(self, topic: str) -> KafkaError:
        """Why kafka-python did not learn in time where the topic's partitions lie."""
        try:
            admin = Admin(self._settings, connect_s=LONGEST_BLOCK_MS / 1000)
        except KafkaUnavailable as error:
            return BufferFull(f"a record for topic {topic!r} was not taken: {error}")
        try:
            admin.partitions(topic)
        except KafkaError as error:
            return error
        finally:
            admin.close()
        return BufferFull(f"Kafka at {self._settings.bootstrap} is slow to tell where topic {topic!r} lies: send later")
