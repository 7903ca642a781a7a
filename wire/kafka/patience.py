"""How long a broker may take over a fetch, for a reader that is level and one that is behind.

The laptop's broker, Tansu, spends all of a fetch's wait on gathering objects, and answers with nothing when it found
none until then. So waits are short when level, for what comes to be read at once, and longer, step by step, while a
reader is behind and gets little. Other brokers answer at once whatever the wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable

LONGER_MS = (500, 10_000)
PERIOD_S = 0.4
"""Behind for so long, and for two waits, and with more left to read than came in that time: the wait is too short."""
LEVEL_S = 2.0
"""Level for so long without a break: a shorter wait will do."""


class Patience:
    """`wait_ms` is `shortest_ms` at first; `clock` in seconds."""

    def __init__(self, shortest_ms: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._waits = (shortest_ms, *(wait for wait in LONGER_MS if wait > shortest_ms))
        self._rung = self._came = 0
        self._clock = clock
        self._since = self._behind_at = clock()

    @property
    def wait_ms(self) -> int:
        """How long a fetch may take now."""
        return self._waits[self._rung]

    def changed(self, *, records: int, lag: int) -> bool:
        """Note how many records came, and how many are left; tells whether the wait is another one now."""
        now, rung = self._clock(), self._rung
        self._came += records
        if lag:
            self._behind_at = now
            if now - self._since >= PERIOD_S + 2 * self.wait_ms / 1000:
                rung = min(rung + (lag > self._came), len(self._waits) - 1)
                self._since, self._came = now, 0
        else:
            self._since, self._came = now, 0
            if now - self._behind_at >= LEVEL_S:
                rung = max(rung - 1, 0)
        if rung == self._rung:
            return False
        self._rung, self._since, self._behind_at, self._came = rung, now, now, 0
        return True
