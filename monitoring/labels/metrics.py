"""What the joiner tells of itself: the same figures as Prometheus text and as /status."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

COUNTERS = {
    "exposures": "Exposures that were read.",
    "events": "Events that were read.",
    "rows": "Observations written.",
    "requests": "Requests whose window closed.",
    "labelled": "Requests among them of which something was shown; the others' labels are missing.",
    "late_events": "Events that came after their request's window.",
    "late_exposures": "Exposures that came after their window; they are in no observation.",
    "duplicate_events": "Events that were there already.",
    "duplicate_exposures": "Exposures that were there already.",
    "orphaned_events": "Events whose exposure never came.",
    "rejected": "Records that cannot be read.",
    "unknown_durations": "Observations of videos whose length nobody tells.",
    "foreign_videos": "Videos that were shown and not among the candidates.",
    "offsets_gone": "Times that records had been deleted before they were read.",
    "commits": "Commits written.",
}
GAUGES = {
    "lag": "Records still to be read.",
    "open_requests": "Requests whose window is open.",
    "watermark_age_seconds": "Seconds from now back to the watermark.",
    "coverage": "Share of the requests that closed in the last minutes of which something was shown.",
}


class Status(msgspec.Struct, kw_only=True):
    """What /status says; counts are those of the last commit."""

    waits_for: str = "the settings"
    seq: int = -1
    counters: dict[str, int] = {}
    lag: int = 0
    open_requests: int = 0
    watermark_age_seconds: float = 0.0
    coverage: float | None = None
    last_failure: str = ""


class _Collected(Collector):
    def __init__(self, status: Status) -> None:
        self.status = status

    def collect(self) -> Iterator[Metric]:
        for name, meaning in COUNTERS.items():
            yield CounterMetricFamily(f"rapt_labels_{name}", meaning, value=self.status.counters.get(name, 0))
        for name, meaning in GAUGES.items():
            value = getattr(self.status, name)
            if value is not None:
                yield GaugeMetricFamily(f"rapt_labels_{name}", meaning, value=float(value))


def registry(status: Status) -> CollectorRegistry:
    """A registry of the status alone."""
    own = CollectorRegistry()
    own.register(_Collected(status))
    return own
