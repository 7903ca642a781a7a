"""Tells a refusal that lasts (a changed password) from one that passes (a broker that is still starting)."""

from __future__ import annotations

import time
from collections.abc import Callable

from wire.errors import KafkaDenied

LASTING_S = 10.0
GAP_S = 5.0
"""Clients connect again at least every second, so a longer silence means that they got in."""


class Refusal:
    """What brokers said when they denied us; `clock` in seconds, so that tests need not wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.reason: KafkaDenied | None = None
        self._clock = clock
        self._first = self._last = 0.0

    def heard(self, reason: KafkaDenied) -> None:
        """A connection was denied."""
        now = self._clock()
        if self.reason is None or now - self._last > GAP_S:
            self._first = now
        self.reason, self._last = reason, now

    def raise_if_lasting(self) -> None:
        """Raise the reason when every connection of the last 10 s was denied."""
        lasting = self._last - self._first >= LASTING_S and self._clock() - self._last <= GAP_S
        if self.reason is not None and lasting:
            raise self.reason
