"""Hands a topic of one partition to somebody, from its beginning and then as it grows, whatever happens meanwhile."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from wire.errors import KafkaError, UnknownTopic
from wire.kafka import limits
from wire.kafka.records import EARLIEST, Record
from wire.kafka.settings import Client, KafkaSettings
from wire.kafka.source import Source

LOG = logging.getLogger(__name__)
AT_ONCE, POLL_S, AGAIN_S = 512, 0.2, 1.0


class Follower:
    """Gives `apply` all records in order, in a thread of its own; what fails is tried again until `close`.

    `caught_up` is set once all that was there at the start was given; with `may_be_missing` also while there is no
    such topic.
    """

    def __init__(
        self, kafka: KafkaSettings, topic: str, apply: Callable[[list[Record]], None], *, may_be_missing: bool = False
    ) -> None:
        self.kafka, self.topic = kafka, topic
        self.caught_up = threading.Event()
        self._apply, self._may_be_missing = apply, may_be_missing
        self._source: Source | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follower-{topic}", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Follow no more; what is under way is left alone."""
        self._ended.set()

    def close(self) -> None:
        """Follow no more, and wait for the end of what is under way."""
        self.stop()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._turn()
            except KafkaError as error:
                if self._may_be_missing and isinstance(error, UnknownTopic):
                    self.caught_up.set()
                else:
                    LOG.warning("topic %r is not followed for now: %s", self.topic, error)
                self._disconnect()
                self._ended.wait(AGAIN_S)
        self._disconnect()

    def _turn(self) -> None:
        if self._source is None:
            self._source = Source(
                self.kafka, Client.CONFLUENT, self.topic, {0: EARLIEST}, lambda *_: None,
                at_once=AT_ONCE, wait_ms=limits.FETCH_WAIT_MS,
            )  # fmt: skip
        records = self._source.poll(POLL_S)
        if records:
            self._apply(records)
        if not any(self._source.lags().values()):
            self.caught_up.set()
        self._source.choose_wait()

    def _disconnect(self) -> None:
        if self._source is not None:
            self._source.close()
