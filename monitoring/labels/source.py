"""One topic's records: reads on where it was after outages, gaps and reconnections."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from wire.errors import OffsetGone
from wire.kafka import EARLIEST, UNKNOWN_LAG, Client, Consumer, KafkaSettings, Record, consumer
from wire.kafka.patience import Patience

LOG = logging.getLogger(__name__)
AT_ONCE = 4096
WAIT_MS = 250

Gone = Callable[[int, bool], None]
"""Is told the partition in which records were deleted unread, and whether its topic was made anew."""


class Source:
    """All partitions of a topic from `starts` on; raises KafkaUnavailable and KafkaDenied, and may be asked again."""

    def __init__(
        self, kafka: KafkaSettings, client: Client, topic: str, starts: Mapping[int, int], on_gone: Gone
    ) -> None:
        self._kafka, self._client, self.topic, self._on_gone = kafka, client, topic, on_gone
        self._places = {(topic, number): offset for number, offset in starts.items()}
        self._patience = Patience(WAIT_MS)
        self._came = 0
        self._gone: set[int] = set()
        self._consumer: Consumer | None = None
        self._open()

    def poll(self, timeout_s: float) -> list[Record]:
        """Records that are there; none when none came within `timeout_s`."""
        source = self._consumer or self._open()
        for number in list(self._gone):
            self._to_earliest(source, number)
        try:
            records = source.poll(AT_ONCE, timeout_s)
            self._came += len(records)
            return records
        except OffsetGone as error:
            LOG.error("%s; going on at the earliest record, labels lack what lay between", error)
            self._gone.add(error.partition)
            return []

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
            self.close()

    def close(self) -> None:
        """End the connection; the next poll opens another."""
        if self._consumer is not None:
            self._places = self._consumer.positions()
            self._consumer.close()
            self._consumer = None

    def _open(self) -> Consumer:
        self._consumer = consumer(self._kafka, self._places, self._client, wait_ms=self._patience.wait_ms)
        return self._consumer

    def _to_earliest(self, source: Consumer, number: int) -> None:
        before = source.positions()[self.topic, number]
        source.seek(self.topic, number, EARLIEST)
        self._gone.discard(number)
        self._on_gone(number, source.positions()[self.topic, number] < before)
