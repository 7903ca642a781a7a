"""Which experiments run, as topic `arms` says."""

from __future__ import annotations

import logging
import threading

import msgspec

from interest.experiments.assignment import Allocation
from wire.errors import KafkaError, UnknownTopic
from wire.kafka import ARMS, EARLIEST, Client, KafkaSettings, Record, consumer

LOG = logging.getLogger(__name__)
BATCH, POLL_S, AGAIN_S, NO_TOPIC_S = 100, 0.2, 0.5, 1.0

_DECODER = msgspec.json.Decoder(Allocation)


class Arms:
    """`current` is the newest allocation; `caught_up` says that all that was there at the start is in it."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        self.current = Allocation()
        self.caught_up = False
        self.rejected = 0
        self._offset = EARLIEST
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="arms", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def close(self) -> None:
        """End following."""
        self._ended.set()
        self._thread.join()

    def apply(self, records: list[Record]) -> None:
        """Take the newest over; what cannot be read is passed over, and the one before stays."""
        for record in records:
            try:
                made = _DECODER.decode(record.value or b"")
            except msgspec.DecodeError as error:
                self.rejected += 1
                LOG.error("the allocation at offset %d of %r is not readable: %s", record.offset, ARMS, error)
                continue
            if made.version > self.current.version:
                self.current = made

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._follow()
            except UnknownTopic:
                self.caught_up = True  # where nothing can be said, no experiment runs
                self._ended.wait(NO_TOPIC_S)
            except KafkaError as error:
                LOG.warning("experiments stay as they are for now: %s", error)
                self._ended.wait(AGAIN_S)

    def _follow(self) -> None:
        place = (ARMS, 0)
        source = consumer(self.settings, {place: self._offset}, Client.CONFLUENT)
        try:
            while not self._ended.is_set():
                records = source.poll(BATCH, POLL_S)
                if records:
                    self.apply(records)
                    self._offset = records[-1].offset + 1
                self.caught_up = self.caught_up or source.lags().get(place) == 0
        finally:
            source.close()
