"""What the demo shows of serving: traffic in a closed loop, and how soon one watched video moves a viewer's scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import uuid4

import msgspec

from inference.client import Client
from inference.errors import EndpointUnavailable
from interest.catalog import Catalog
from interest.records import Event, Kind
from interest.simulator.audience import Audience
from interest.simulator.world import VideoLatents
from rapt.settings import Settings
from rapt.traffic import Plan, Traffic, run
from wire.kafka import EVENTS, KafkaSettings, Producer, producer

USERS, RATE, SECONDS = 100, 25.0, 4.0
CANDIDATES = 50
PROBES = 10
"""Viewers whose first watched video is timed."""
SHOWN = 5
CHANGED_S = 10.0


@dataclass(frozen=True)
class Moved:
    """A viewer's chances of engaging with `videos` before and after they watched `watched` to its end."""

    user_id: str
    watched: str
    videos: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]


@dataclass(frozen=True)
class Live:
    """`freshness_ms`: from sending an event to the first answer that it changed."""

    traffic: Traffic
    moved: Moved
    freshness_ms: tuple[float, ...]

    def document(self) -> dict[str, object]:
        """For `--json`."""
        return {"traffic": self.traffic.document(), "moved": self.moved, "freshness_ms": self.freshness_ms}


def show_live(
    settings: Settings, catalog: Catalog, latents: VideoLatents, tell: Callable[[Traffic], None] = lambda _: None
) -> Live:
    """Run traffic and probes against the endpoint of `rapt up`; raises EndpointUnavailable, KafkaError."""
    sending = producer(KafkaSettings.from_env(settings.stream_environment()))
    try:
        audience = Audience(catalog, latents, USERS, seed=int(time.time()))
        came = run(audience, sending, Plan(settings.endpoint, RATE, SECONDS, CANDIDATES), tell)
        with Client(settings.endpoint) as client:
            probes = [_probe(client, sending, catalog, number) for number in range(PROBES)]
    finally:
        sending.close()
    return Live(came, probes[0][0], tuple(took_ms for _, took_ms in probes))


def _probe(client: Client, sending: Producer, catalog: Catalog, number: int) -> tuple[Moved, float]:
    """Let a new viewer watch one video, and wait until that shows in what they are predicted to like."""
    videos = [catalog.videos[(7 * number + step) % len(catalog)] for step in range(SHOWN + 1)]
    watched, asked = videos[0], [video.video_id for video in videos[1:]]
    user_id = f"demo-{uuid4().hex[:8]}"
    ts_ms = time.time_ns() // 1_000_000

    def chances() -> tuple[float, ...]:
        # The moment stays the same, so that only the viewer's state can change the answer.
        return tuple(one.probability for one in client.predict(user_id, asked, now_ms=ts_ms + 1).videos)

    before = chances()
    event = Event(
        event_id=uuid4().hex, user_id=user_id, video_id=watched.video_id, request_id=uuid4().hex, ts_ms=ts_ms,
        kind=Kind.WATCH, watch_ms=round(watched.duration_s * 1000),
    )  # fmt: skip
    began = time.perf_counter()
    sending.send(EVENTS, user_id.encode(), msgspec.json.encode(event))
    while (after := chances()) == before:
        if time.perf_counter() - began > CHANGED_S:
            raise EndpointUnavailable(f"an event changed nothing within {CHANGED_S:g} s; see: rapt status")
    return Moved(user_id, watched.video_id, tuple(asked), before, after), (time.perf_counter() - began) * 1e3


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
