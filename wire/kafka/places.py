"""Where a consumer is in each of its partitions, and how far each partition goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from wire.kafka import failures
from wire.kafka.records import UNKNOWN_LAG

BEYOND_S = 5.0

Place = tuple[str, int]


class Places:
    """The next offset by (topic, partition); `clock` in seconds, so that tests need not wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.offsets: dict[Place, int] = {}
        self._clock = clock
        self._beyond: dict[Place, float] = {}

    def lags(self, ends: Mapping[Place, int | None]) -> dict[Place, int]:
        """Records up to `ends`, the offsets after the last record; None is an end that is not known yet."""
        lags = {}
        for place, offset in self.offsets.items():
            end = ends[place]
            lags[place] = UNKNOWN_LAG if end is None else max(0, end - offset)
        return lags

    def refuse_beyond(self, ends: Mapping[Place, int | None]) -> None:
        """Raise OffsetGone for a place that has been beyond its partition's end for 5 s.

        Kafka tells that by itself; Tansu answers with no records until the log has grown that far, and then
        all that came before would be missed. A new leader's end may be behind for a moment.
        """
        for place, offset in self.offsets.items():
            end = ends[place]
            if end is None or offset <= end:
                self._beyond.pop(place, None)
            elif self._clock() - self._beyond.setdefault(place, self._clock()) >= BEYOND_S:
                raise failures.offset_gone(*place, offset)
