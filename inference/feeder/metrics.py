"""What the feeder tells of itself: the same figures as Prometheus text and as /status."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from inference.state.viewer_state import UNKNOWN

COUNTERS = {
    "records": "Records of topic events that were read.",
    "feedback": "Feedback events among them.",
    "impressions": "Impressions among them, which enter no history.",
    "late": "Events that went in before a newer one.",
    "too_late": "Events older than the 100 newest of their viewer, left out.",
    "duplicates": "Events that were there already.",
    "seen": "Events that were applied before a restart, skipped.",
    "moved": "Viewers whose history began again in another partition.",
    "dead_letters": "Records that cannot be used, sent to events.dead.",
    "dead_letters_lost": "Records that cannot be used and could not be sent there either; the log names each.",
    "evictions": "Viewers that had to go for others: give more memory.",
    "offsets_gone": "Times that records had been deleted before they were read.",
    "checkpoints": "Checkpoints written.",
    "checkpoints_failed": "Checkpoints that the object store did not take.",
    "checkpoints_damaged": "Checkpoints that could not be read at the start.",
}
GAUGES = {
    "lag": "Records of topic events still to be applied.",
    "state_age_seconds": "Seconds since all that the broker had was in the state.",
    "viewers": "Viewers that have a state.",
    "state_bytes": "Memory that the state takes in its folder.",
    "capacity": "Viewers for whom there is room.",
    "last_checkpoint_age_seconds": "Seconds since the last whole checkpoint was begun.",
    "ready": "Whether the state is restored and the lag under the threshold.",
}


class Status(msgspec.Struct, kw_only=True):
    """What /status says; the counts are since the process started."""

    waits_for: str = "the settings"
    partitions: int = 0
    offsets: dict[int, int] = {}
    restored: str = ""
    records: int = 0
    feedback: int = 0
    impressions: int = 0
    late: int = 0
    too_late: int = 0
    duplicates: int = 0
    seen: int = 0
    moved: int = 0
    dead_letters: int = 0
    dead_letters_lost: int = 0
    last_dead_letter: str = ""
    evictions: int = 0
    offsets_gone: int = 0
    checkpoints: int = 0
    checkpoints_failed: int = 0
    checkpoints_damaged: int = 0
    last_checkpoint_ms: int = 0
    fresh_at_ms: int = 0
    lag: int = UNKNOWN
    viewers: int = 0
    state_bytes: int = 0
    capacity: int = 0

    @property
    def state_age_seconds(self) -> float:
        """Seconds since all that the broker had was in the state; NaN before that was ever so."""
        return time.time() - self.fresh_at_ms / 1000 if self.fresh_at_ms else float("nan")

    @property
    def last_checkpoint_age_seconds(self) -> float:
        """Seconds since the last whole checkpoint was begun; NaN when there is none."""
        return time.time() - self.last_checkpoint_ms / 1000 if self.last_checkpoint_ms else float("nan")

    @property
    def ready(self) -> bool:
        """Whether the state may be relied on."""
        return not self.waits_for


class StatusCollector(Collector):
    """The status as Prometheus metrics `rapt_feeder_*`."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        for name, meaning in COUNTERS.items():
            yield CounterMetricFamily(f"rapt_feeder_{name}", meaning, value=getattr(self._status, name))
        for name, meaning in GAUGES.items():
            yield GaugeMetricFamily(f"rapt_feeder_{name}", meaning, value=float(getattr(self._status, name)))


def registry(status: Status) -> CollectorRegistry:
    """A registry of the status alone."""
    own = CollectorRegistry()
    own.register(StatusCollector(status))
    return own
