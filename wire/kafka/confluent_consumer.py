"""A consumer on confluent-kafka."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer as Client
from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException, TopicPartition

from wire.errors import KafkaError
from wire.kafka import failures
from wire.kafka.confluent_client import Heard, connected, named
from wire.kafka.places import Place, Places
from wire.kafka.records import EARLIEST, Record
from wire.kafka.settings import KafkaSettings

ASK_S = 8.0
QUEUE_KIB = 32 << 10
PASSING = {Code._TRANSPORT, Code._ALL_BROKERS_DOWN, Code._TIMED_OUT, Code._RESOLVE, Code.GROUP_AUTHORIZATION_FAILED}
"""Errors to wait out. The library looks for a group's coordinator also when no group is used: no right is needed."""


class ConfluentConsumer:
    """See `wire.kafka.records.Consumer`."""

    def __init__(self, settings: KafkaSettings, starts: Mapping[tuple[str, int], int], wait_ms: int) -> None:
        self._settings = settings
        self._heard = Heard(settings)
        self._places = Places()
        self._failures: deque[KafkaError] = deque()
        self._consumer: Any = connected(
            Client,
            settings,
            self._heard,
            {
                "group.id": "rapt",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": wait_ms,
                "fetch.queue.backoff.ms": 5,
                "queued.max.messages.kbytes": QUEUE_KIB,
            },
        )
        try:
            self._refuse_unknown(starts)
            self._places.offsets.update({place: self._offset(place, offset) for place, offset in starts.items()})
        except BaseException:
            self.close()
            raise
        self._assign()

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        self._raise_failure()
        give_up_at = time.monotonic() + timeout_s
        records = self._records(self._consumer.consume(max_records, 0))
        while not records:
            self._raise_failure()
            first = self._consumer.poll(max(0.0, give_up_at - time.monotonic()))
            if first is not None:
                records = self._records([first, *self._consumer.consume(max_records - 1, 0)])
            elif time.monotonic() >= give_up_at:
                self._heard.refusal.raise_if_lasting()
                self._places.refuse_beyond(self._ends())
                break
        return records

    def positions(self) -> dict[tuple[str, int], int]:
        return dict(self._places.offsets)

    def lags(self) -> dict[tuple[str, int], int]:
        return self._places.lags(self._ends())

    def seek(self, topic: str, partition: int, offset: int) -> None:
        self._places.offsets[topic, partition] = self._offset((topic, partition), offset)
        self._assign()

    def close(self) -> None:
        self._consumer.close()

    def _raise_failure(self) -> None:
        """Raise what came after the records that were handed out before."""
        if self._failures:
            raise self._failures.popleft()

    def _assign(self) -> None:
        """Fetch from the places' offsets on; what the library has fetched so far is dropped."""
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in self._places.offsets.items()])

    def _records(self, found: list[Any]) -> list[Record]:
        """The records among messages; failures among them are kept for when these are handed out."""
        records = []
        offsets = self._places.offsets
        for one in found:
            if one.error() is not None:
                if failure := self._named(one):
                    self._failures.append(failure)
                continue
            topic, partition, offset = one.topic(), one.partition(), one.offset()
            records.append(
                Record(topic, partition, offset, one.timestamp()[1], one.key(), one.value(), one.headers() or ())
            )
            offsets[topic, partition] = offset + 1
        return records

    def _named(self, message: Any) -> KafkaError | None:
        error = message.error()
        if error.code() in PASSING or error.retriable():
            return None
        if error.code() == Code._AUTO_OFFSET_RESET:
            place = message.topic(), message.partition()
            return failures.offset_gone(*place, self._places.offsets[place])
        return named(self._settings, message.topic() or "", error)

    def _offset(self, place: Place, offset: int) -> int:
        if offset != EARLIEST:
            return offset
        try:
            low: int = self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=ASK_S)[0]
        except KafkaException as error:
            raise failures.unavailable(self._settings, error.args[0].str()) from error
        return low

    def _ends(self) -> dict[Place, int | None]:
        ends: dict[Place, int | None] = {}
        for place in self._places.offsets:
            _, end = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
            ends[place] = end if end >= 0 else None
        return ends

    def _refuse_unknown(self, starts: Mapping[tuple[str, int], int]) -> None:
        """Raise UnknownTopic or KafkaDenied, which the library would only wait for."""
        for topic, partition in starts:
            try:
                found = self._consumer.list_topics(topic, timeout=ASK_S).topics[topic]
            except KafkaException as error:
                raise failures.unavailable(self._settings, error.args[0].str()) from error
            if found.error is not None:
                raise named(self._settings, topic, found.error)
            if partition not in found.partitions:
                raise failures.unknown_topic(self._settings, topic, partition)
