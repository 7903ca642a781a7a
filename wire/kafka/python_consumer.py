"""A consumer on kafka-python."""

from __future__ import annotations

from collections.abc import Mapping

import kafka
import kafka.errors
from kafka import TopicPartition

from wire.kafka import failures
from wire.kafka.python_client import connected, named
from wire.kafka.records import EARLIEST, LATEST, UNKNOWN_LAG, Record
from wire.kafka.settings import KafkaSettings


class PythonConsumer:
    """See `wire.kafka.records.Consumer`."""

    def __init__(self, settings: KafkaSettings, starts: Mapping[tuple[str, int], int]) -> None:
        self._settings = settings
        self._positions = dict(starts)
        self._consumer = connected(
            kafka.KafkaConsumer,
            settings,
            auto_offset_reset="none",
            enable_auto_commit=False,
            isolation_level="read_committed",
            metrics_enabled=False,
            allow_auto_create_topics=False,
        )
        self._consumer.assign([TopicPartition(*place) for place in starts])
        for (topic, partition), offset in starts.items():
            self.seek(topic, partition, offset)

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        try:
            found = self._consumer.poll(timeout_ms=round(timeout_s * 1000), max_records=max_records)
        except kafka.errors.OffsetOutOfRangeError as error:
            (place, offset), *_ = error.args[0].items()
            raise failures.offset_gone(place.topic, place.partition, offset) from error
        except kafka.errors.KafkaError as error:
            raise named(self._settings, ", ".join(sorted({topic for topic, _ in self._positions})), error) from error
        records = []
        for (topic, partition), some in found.items():
            records += [
                Record(topic, partition, one.offset, one.timestamp, one.key, one.value, one.headers or ())
                for one in some
            ]
            self._positions[topic, partition] = some[-1].offset + 1
        return records

    def positions(self) -> dict[tuple[str, int], int]:
        return dict(self._positions)

    def lags(self) -> dict[tuple[str, int], int]:
        return {place: self._lag(place, position) for place, position in self._positions.items()}

    def seek(self, topic: str, partition: int, offset: int) -> None:
        place = TopicPartition(topic, partition)
        if offset == EARLIEST:
            self._consumer.seek_to_beginning(place)
        elif offset == LATEST:
            self._consumer.seek_to_end(place)
        else:
            self._consumer.seek(place, offset)
        self._positions[topic, partition] = offset

    def close(self) -> None:
        self._consumer.close(autocommit=False)

    def _lag(self, place: tuple[str, int], position: int) -> int:
        end = self._consumer.highwater(TopicPartition(*place))
        return UNKNOWN_LAG if end is None else max(0, end - position)
