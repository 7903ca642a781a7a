"""Puts records that cannot be used into `events.dead`, and never lets that stop the feeder."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from inference.feeder.metrics import Status
from wire.errors import KafkaError
from wire.kafka import KafkaSettings, Producer, Record, dead_letter, producer

LOG = logging.getLogger(__name__)
FLUSH_S = 10.0
PAUSE_S = 30.0
"""After a failure records are only logged for so long."""


class DeadLetters:
    """The way to `events.dead`; it connects when it is first needed."""

    def __init__(self, settings: KafkaSettings, status: Status) -> None:
        self._settings = settings
        self._status = status
        self._producer: Producer | None = None
        self._paused_until = 0.0

    def bury(self, rejected: Sequence[tuple[Record, str]]) -> None:
        """Send the records and wait until they are acknowledged; what cannot be sent is logged and counted."""
        self._status.last_dead_letter = rejected[-1][1]
        problem = "an earlier failure" if time.monotonic() < self._paused_until else self._send(rejected)
        if not problem:
            self._status.dead_letters += len(rejected)
            return
        self._status.dead_letters_lost += len(rejected)
        for record, reason in rejected:
            LOG.error(
                "%s[%d]@%d cannot be used (%s) nor sent to the dead letters (%s)",
                record.topic, record.partition, record.offset, reason[:300], problem,
            )  # fmt: skip

    def close(self) -> None:
        """End the producer."""
        if self._producer is not None:
            self._producer.close()

    def _send(self, rejected: Sequence[tuple[Record, str]]) -> str:
        try:
            if self._producer is None:
                self._producer = producer(self._settings)
            for record, reason in rejected:
                dead_letter(self._producer, record, reason)
            self._producer.flush(FLUSH_S)
        except KafkaError as error:
            self._paused_until = time.monotonic() + PAUSE_S
            return str(error)
        return ""
