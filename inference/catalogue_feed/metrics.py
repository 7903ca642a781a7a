"""What the feed tells of itself: counts for Prometheus, and the same in words on /status."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 120.0)


class Status(msgspec.Struct, kw_only=True):
    """What /status says; `seconds` is how long the last video took from its message to scorable."""

    model_digest: str = ""
    waits_for: str = ""
    refused_models: int = 0
    last_refused: str = ""
    encoded: int = 0
    renewed: int = 0
    renewing: bool = False
    rejected: int = 0
    last_rejected: str = ""
    seconds: float = 0.0
    in_flight: int = 0
    lag: int = 0
    offsets: dict[int, int] = {}


@dataclass
class Metrics:
    """Counts since the process started."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    status: Status = field(default_factory=Status)

    def __post_init__(self) -> None:
        own = self.registry
        self._videos = Counter(
            "rapt_feed_videos", "Videos from topic videos, by what became of them.", ["outcome"], registry=own
        )
        self._renewed = Counter("rapt_feed_renewed", "Videos encoded anew for another model.", registry=own)
        self._seconds = Histogram(
            "rapt_feed_seconds", "Seconds from a video's message to scorable.", buckets=SECONDS, registry=own
        )
        lag = Gauge("rapt_feed_lag", "Messages of topic videos that are not taken up yet.", registry=own)
        lag.set_function(lambda: self.status.lag)
        work = Gauge("rapt_feed_in_flight", "Videos that are downloaded, decoded or described now.", registry=own)
        work.set_function(lambda: self.status.in_flight)

    def encoded(self, seconds: float) -> None:
        """A video became scorable so long after its message."""
        self._videos.labels("encoded").inc()
        self._seconds.observe(seconds)
        self.status.encoded += 1
        self.status.seconds = round(seconds, 3)

    def rejected(self, reason: str) -> None:
        """A message went to the dead letters."""
        self._videos.labels("rejected").inc()
        self.status.rejected += 1
        self.status.last_rejected = reason

    def renewed(self) -> None:
        """A video of the library was encoded by another model."""
        self._renewed.inc()
        self.status.renewed += 1
