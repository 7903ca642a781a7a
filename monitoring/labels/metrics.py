"""What the joiner tells of itself: the same figures as Prometheus text and as /status."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitoring.labels.request import Counts

COUNTERS = {
    "exposures": "Records of topic exposures that were read.",
    "events": "Records of topic events that were read.",
    "rows": "Observations made.",
    "labelled_requests": "Requests whose window closed with an impression.",
    "missing_requests": "Requests whose window closed without one: their labels are missing.",
    "late_events": "Events that came after their request's window.",
    "late_exposures": "Exposures that came after their window; they are in no observation.",
    "orphaned_events": "Events whose exposure did not come, or was another viewer's.",
    "excess_events": "Events beyond the thousand that a request may have.",
    "duplicate_events": "Events that were there already.",
    "duplicate_exposures": "Exposures that were there already.",
    "without_impression": "Videos with feedback but no impression when their window closed.",
    "foreign_videos": "Videos that were shown but not among the candidates; they have no score.",
    "unknown_durations": "Observations of videos whose length nobody tells; 18 s of watching is engagement.",
    "rejected": "Records that are no exposure and no event.",
    "clamped": "Records from over a minute ahead of our clock.",
    "offsets_gone": "Times that records had been deleted before they were read.",
}
"""Since ever: a restart goes on counting from the last commit."""
OWN_COUNTERS = {
    "commits": "Commits written by this process.",
    "commits_failed": "Attempts that the object store did not take; they are made again.",
    "commit_seconds": "Seconds spent on writing commits.",
}
GAUGES = {
    "lag": "Records still to be read.",
    "label_lag_seconds": "Seconds from the watermark to now: how late a label is after its window.",
    "open_requests": "Requests whose window is open.",
    "coverage": "Share of the requests closed within the last ten minutes that have an impression.",
    "durations": "Videos whose length is known.",
    "ready": "Whether brokers and object store answer and the lag is known.",
}


class Status(msgspec.Struct, kw_only=True):
    """What /status says; `counts` are since ever, NaN is said as null."""

    waits_for: str = "the settings"
    seq: int = 0
    writer: str = ""
    partitions: int = 0
    counts: Counts = msgspec.field(default_factory=Counts)
    commits: int = 0
    commits_failed: int = 0
    commit_seconds: float = 0.0
    last_failure: str = ""
    lag: int | None = None
    label_lag_seconds: float = math.nan
    open_requests: int = 0
    coverage: float = math.nan
    durations: int = 0

    @property
    def ready(self) -> bool:
        """Whether it works."""
        return not self.waits_for


class StatusCollector(Collector):
    """The status as Prometheus metrics `rapt_labels_*`."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status
        for name, meaning in COUNTERS.items():
            yield CounterMetricFamily(f"rapt_labels_{name}", meaning, value=getattr(status.counts, name))
        for name, meaning in OWN_COUNTERS.items():
            yield CounterMetricFamily(f"rapt_labels_{name}", meaning, value=getattr(status, name))
        for name, meaning in GAUGES.items():
            value = getattr(status, name)
            yield GaugeMetricFamily(f"rapt_labels_{name}", meaning, value=math.nan if value is None else float(value))


def registry(status: Status) -> CollectorRegistry:
    """A registry of the status alone."""
    own = CollectorRegistry()
    own.register(StatusCollector(status))
    return own
