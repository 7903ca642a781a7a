"""One topic's records: reads on where it was after outages, gaps and reconnections."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from wire.errors import OffsetGone
from wire.kafka.clients import consumer
from wire.kafka.patience import Patience
from wire.kafka.places import Place
from wire.kafka.records import EARLIEST, UNKNOWN_LAG, Consumer, Record
from wire.kafka.settings import Client, KafkaSettings

LOG = logging.getLogger(__name__)

Gone = Callable[[int, bool], None]
"""Is told the partition in which records were deleted unread, and whether its topic was made anew."""


class Source:
    """The partitions in `starts` of a topic, from those offsets (or EARLIEST) on.

    A poll gives at most `at_once` records; with nothing to read, the broker is asked again after `wait_ms`.
    To open one and to poll may raise KafkaUnavailable, UnknownTopic and KafkaDenied; poll may be called again then.
    """

    def __init__(
        self, kafka: KafkaSettings, client: Client, topic: str, starts: Mapping[int, int], on_gone: Gone,
        *, at_once: int, wait_ms: int,
    ) -> None:  # fmt: skip
        self._kafka, self._client, self.topic, self._on_gone = kafka, client, topic, on_gone
        self._places = self._named(starts)
        self._at_once = at_once
        self._patience = Patience(wait_ms)
        self._came = 0
        self._gone: set[int] = set()
        self._consumer: Consumer | None = None
        self._open()

    def poll(self, timeout_s: float) -> list[Record]:
        """Records that are there; none when none came within `timeout_s`."""
        source = self._consumer or self._open()
        for number in list(self._gone):
            self._to_earliest(source, number)
            if self._consumer is not source:  # `on_gone` goes on elsewhere
                return []
        try:
            records = source.poll(self._at_once, timeout_s)
            self._came += len(records)
            return records
        except OffsetGone as error:
            LOG.error("%s; going on at the earliest record, what lay between is lost", error)
            self._gone.add(error.partition)
            return []

    @property
    def connected(self) -> bool:
        """Whether the next poll has not to open a connection first."""
        return self._consumer is not None

    def positions(self) -> dict[int, int]:
        """By partition the offset that comes next."""
        places = self._consumer.positions() if self._consumer else self._places
        return {number: offset for (_, number), offset in places.items()}

    def lags(self) -> dict[int, int]:
        """By partition the records to be read, as the last answer told."""
        if self._consumer is None:
            return dict.fromkeys((number for _, number in self._places), UNKNOWN_LAG)
        return {number: lag for (_, number), lag in self._consumer.lags().items()}

    def choose_wait(self) -> None:
        """Let fetches take long while far behind, and be short again when level."""
        lags = self.lags().values()
        came, self._came = self._came, 0
        if UNKNOWN_LAG not in lags and self._patience.changed(records=came, lag=sum(lags)):
            LOG.info("%d records behind: fetches may take %d ms", sum(lags), self._patience.wait_ms)
            self.close()

    def go_on_at(self, starts: Mapping[int, int]) -> None:
        """Read these partitions from these offsets on, instead of those before."""
        self.close()
        self._gone.clear()
        self._places = self._named(starts)

    def close(self) -> None:
        """End the connection; the next poll opens another."""
        if self._consumer is not None:
            self._places = self._consumer.positions()
            self._consumer.close()
            self._consumer = None

    def _named(self, starts: Mapping[int, int]) -> dict[Place, int]:
        return {(self.topic, number): offset for number, offset in starts.items()}

    def _open(self) -> Consumer:
        self._consumer = consumer(self._kafka, self._places, self._client, wait_ms=self._patience.wait_ms)
        return self._consumer

    def _to_earliest(self, source: Consumer, number: int) -> None:
        before = source.positions()[self.topic, number]
        source.seek(self.topic, number, EARLIEST)
        self._gone.discard(number)
        self._on_gone(number, source.positions()[self.topic, number] < before)
