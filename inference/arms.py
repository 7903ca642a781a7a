"""Which experiments run, as topic `arms` says."""

from __future__ import annotations

import logging

import msgspec

from interest.experiments.assignment import Allocation
from wire.kafka import ARMS, KafkaSettings, Record
from wire.kafka.follower import Follower

LOG = logging.getLogger(__name__)

_DECODER = msgspec.json.Decoder(Allocation)


class Arms:
    """`current` is the newest allocation."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.current = Allocation()
        self.rejected = 0
        # Where nothing can be said, no experiment runs.
        self._follower = Follower(settings, ARMS, self.apply, may_be_missing=True)

    @property
    def caught_up(self) -> bool:
        """Whether all that was there at the start is in `current`."""
        return self._follower.caught_up.is_set()

    def start(self) -> None:
        """Begin to follow."""
        self._follower.start()

    def close(self) -> None:
        """End following."""
        self._follower.close()

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
