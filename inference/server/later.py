"""Metrics of the hot path: a request notes numbers, which are counted together, twice a second and at a scrape.

prometheus_client takes a lock or two and some microseconds for each of the dozen that a request touches: 3.4% of the
tiers' CPU (benchmarks/metrics.py). Everything here belongs to the event loop's thread.
"""

from __future__ import annotations

import numpy as np
from prometheus_client import Counter, Histogram

_NOTING: list[Spread | Count] = []
"""All that may have noted something, as prometheus_client has a registry of its own."""


class Spread(Histogram):
    """A histogram."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._noted: list[float] = []
        _NOTING.append(self)

    def note(self, value: float) -> None:
        """Have a value observed soon."""
        self._noted.append(value)

    def settle(self) -> None:
        """Observe what was noted."""
        if not self._noted:
            return
        values = np.array(self._noted, np.float64)
        self._noted.clear()
        places, counts = np.unique(np.searchsorted(self._upper_bounds, values), return_counts=True)
        self._sum.inc(float(values.sum()))
        for place, count in zip(places.tolist(), counts.tolist(), strict=True):
            self._buckets[place].inc(count)


class Count(Counter):
    """A counter."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._noted = 0
        _NOTING.append(self)

    def note(self, amount: int = 1) -> None:
        """Have so much added soon."""
        self._noted += amount

    def settle(self) -> None:
        """Add what was noted."""
        if self._noted:
            noted, self._noted = self._noted, 0
            self.inc(noted)


def settle() -> None:
    """Count all that was noted up to now."""
    for one in _NOTING:
        one.settle()
