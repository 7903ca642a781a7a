"""Asks the brokers once a second whether they are there, and how many partitions the topic has.

A consumer that hears nothing cannot tell a quiet stream from a dead broker; without this the state would look fresh.
"""

from __future__ import annotations

import logging
import threading
import time

from wire.errors import KafkaError
from wire.kafka.admin import Admin
from wire.kafka.settings import KafkaSettings
from wire.kafka.topics import EVENTS

LOG = logging.getLogger(__name__)
EVERY_S = 1.0
ALIVE_S = 3.0


class Pulse:
    """Beats in a thread of its own from `start` to `stop`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._over = threading.Event()
        self._beat = 0.0
        self.partitions = 0
        self.problem = ""
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more; a question under way is left alone."""
        self._over.set()

    @property
    def alive(self) -> bool:
        """Whether the brokers answered within the last seconds."""
        return time.monotonic() - self._beat < ALIVE_S

    def _run(self) -> None:
        admin: Admin | None = None
        while not self._over.is_set():
            try:
                admin = admin or Admin(self._settings)
                self.partitions = admin.partitions(EVENTS)
                self._beat = time.monotonic()
                self.problem = ""
            except KafkaError as error:
                if not self.problem:
                    LOG.warning("the brokers do not answer: %s", error)
                self.problem = str(error)
                if admin is not None:
                    admin.close()  # its thread would go on
                admin = None
            self._over.wait(EVERY_S)
        if admin is not None:
            admin.close()
