"""A consumer on confluent-kafka."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, TopicPartition
from confluent_kafka import Consumer as Client

from wire.kafka import failures
from wire.kafka.confluent_client import Code, connected, named
from wire.kafka.records import EARLIEST, LATEST, UNKNOWN_LAG, Record
from wire.kafka.settings import KafkaSettings

PASSING = {Code._TRANSPORT, Code._ALL_BROKERS_DOWN, Code._TIMED_OUT, Code._RESOLVE, Code._PARTITION_EOF}
OFFSETS = {EARLIEST: OFFSET_BEGINNING, LATEST: OFFSET_END}


class ConfluentConsumer:
    """See `wire.kafka.records.Consumer`."""

    def __init__(self, settings: KafkaSettings, starts: Mapping[tuple[str, int], int]) -> None:
        self._settings = settings
        self._positions = dict(starts)
        self._consumer = connected(
            Client,
            settings,
            {
                "group.id": "rapt",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 500,
                "fetch.queue.backoff.ms": 5,
                "queued.max.messages.kbytes": 32 << 10,
            },
        )
        self._consumer.assign([TopicPartition(*place, OFFSETS.get(offset, offset)) for place, offset in starts.items()])

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        found = self._consumer.consume(max_records, 0)
        if not found:
            first = self._consumer.poll(timeout_s)
            if first is None:
                return []
            found = [first, *self._consumer.consume(max_records - 1, 0)] if max_records > 1 else [first]
        records = []
        for one in found:
            if one.error() is not None:
                self._refuse(one)
                continue
            topic, partition, offset = one.topic(), one.partition(), one.offset()
            self._positions[topic, partition] = offset + 1
            records.append(
                Record(topic, partition, offset, one.timestamp()[1], one.key(), one.value(), one.headers() or ())
            )
        return records

    def positions(self) -> dict[tuple[str, int], int]:
        return dict(self._positions)

    def lags(self) -> dict[tuple[str, int], int]:
        return {place: self._lag(place, position) for place, position in self._positions.items()}

    def seek(self, topic: str, partition: int, offset: int) -> None:
        self._consumer.seek(TopicPartition(topic, partition, OFFSETS.get(offset, offset)))
        self._positions[topic, partition] = offset

    def close(self) -> None:
        self._consumer.close()

    def _lag(self, place: tuple[str, int], position: int) -> int:
        _, end = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
        return UNKNOWN_LAG if end < 0 else max(0, end - position)

    def _refuse(self, message: Any) -> None:
        error = message.error()
        if error.code() in PASSING or error.retriable():
            return
        if error.code() == Code._AUTO_OFFSET_RESET:
            place = message.topic(), message.partition()
            raise failures.offset_gone(*place, self._positions[place])
        raise named(self._settings, message.topic() or "", error)
