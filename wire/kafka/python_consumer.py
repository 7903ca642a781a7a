"""A consumer on kafka-python."""

from __future__ import annotations

from collections.abc import Mapping

import kafka
import kafka.errors
from kafka import TopicPartition

from wire.kafka import failures
from wire.kafka.admin import Admin
from wire.kafka.places import Place, Places
from wire.kafka.python_client import connected, named
from wire.kafka.records import EARLIEST, Record
from wire.kafka.refusal import Refusal
from wire.kafka.settings import KafkaSettings

ASK_MS = 8000


class PythonConsumer:
    """See `wire.kafka.records.Consumer`."""

    def __init__(self, settings: KafkaSettings, starts: Mapping[tuple[str, int], int], wait_ms: int) -> None:
        self._settings = settings
        self._refusal = Refusal()
        self._places = Places()
        _refuse_unknown(settings, starts)
        self._consumer = connected(
            kafka.KafkaConsumer,
            settings,
            self._refusal,
            auto_offset_reset="none",
            enable_auto_commit=False,
            isolation_level="read_committed",
            fetch_max_wait_ms=wait_ms,
            metrics_enabled=False,
        )
        self._consumer.assign([TopicPartition(*place) for place in starts])
        try:
            for (topic, partition), offset in starts.items():
                self.seek(topic, partition, offset)
        except BaseException:
            self.close()
            raise

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        try:
            found = self._consumer.poll(timeout_ms=round(timeout_s * 1000), max_records=max_records)
        except kafka.errors.OffsetOutOfRangeError as error:
            (place, offset), *_ = error.args[0].items()
            raise failures.offset_gone(place.topic, place.partition, offset) from error
        except kafka.errors.KafkaError as error:
            topics = ", ".join(sorted({topic for topic, _ in self._places.offsets}))
            raise named(self._settings, topics, error) from error
        records = []
        for (topic, partition), some in found.items():
            records += [
                Record(topic, partition, one.offset, one.timestamp, one.key, one.value, one.headers or ())
                for one in some
            ]
            self._places.offsets[topic, partition] = some[-1].offset + 1
        if not records:
            self._refusal.raise_if_lasting()
            self._places.refuse_beyond(self._ends())
        return records

    def positions(self) -> dict[tuple[str, int], int]:
        return dict(self._places.offsets)

    def lags(self) -> dict[tuple[str, int], int]:
        return self._places.lags(self._ends())

    def seek(self, topic: str, partition: int, offset: int) -> None:
        place = TopicPartition(topic, partition)
        if offset == EARLIEST:
            try:
                offset = self._consumer.beginning_offsets([place], timeout_ms=ASK_MS)[place]
            except kafka.errors.KafkaTimeoutError as error:
                raise failures.unavailable(self._settings, error) from error
        self._consumer.seek(place, offset)
        self._places.offsets[topic, partition] = offset

    def close(self) -> None:
        self._consumer.close(autocommit=False)

    def _ends(self) -> dict[Place, int | None]:
        return {place: self._consumer.highwater(TopicPartition(*place)) for place in self._places.offsets}


def _refuse_unknown(settings: KafkaSettings, starts: Mapping[tuple[str, int], int]) -> None:
    """Raise UnknownTopic or KafkaDenied, which kafka-python's consumer would only wait for."""
    admin = Admin(settings)
    try:
        counts = {topic: admin.partitions(topic) for topic, _ in starts}
    finally:
        admin.close()
    for topic, partition in starts:
        if partition >= counts[topic]:
            raise failures.unknown_topic(settings, topic, partition)
