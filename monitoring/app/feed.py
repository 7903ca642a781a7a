"""A viewer's feed as an application would have it: asked for, acted on, and asked for again until the act counts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from inference.client import Client
from inference.transformer.messages import Prediction
from interest.history import HISTORY
from interest.records import ENGAGED_WATCH_S, Event, Kind

SKIPPED_MS = 800
"""How long a video was watched that is skipped."""
COUNTS_WITHIN_S = 3.0
LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class Asked:
    """One answer of the endpoint; `took_ms` from here and back."""

    prediction: Prediction
    took_ms: float

    @property
    def chances(self) -> dict[str, float]:
        """By video."""
        return {one.video_id: one.probability for one in self.prediction.videos}

    def ranked(self) -> list[str]:
        """Videos, the likeliest first."""
        return [one.video_id for one in sorted(self.prediction.videos, key=lambda one: -one.probability)]


@dataclass
class Feed:
    """What one session sees of a viewer. `before`: chances before the last act; `counted_ms`: how long the act took
    from the stream's acknowledgement to a prediction that knows of it, None when it did not in time.
    """

    viewer: str
    candidates: list[str]
    now: Asked
    before: Mapping[str, float] = field(default_factory=dict)
    acted: str = ""
    counted_ms: float | None = None
    shown: set[tuple[str, str]] = field(default_factory=set)

    def impression(self, video_id: str, position: int) -> list[Event]:
        """That the video was shown, once a request: feedback without it would be no observation."""
        request_id = self.now.prediction.request_id
        if (request_id, video_id) in self.shown:
            return []
        self.shown.add((request_id, video_id))
        return [event(self.viewer, video_id, request_id, Kind.IMPRESSION, position)]


def ask(client: Client, viewer: str, candidates: list[str]) -> Asked:
    """The endpoint's answer; raises EndpointRefused, EndpointUnavailable."""
    began = time.perf_counter()
    made = client.predict(viewer, candidates)
    return Asked(made, 1000 * (time.perf_counter() - began))


def ask_until_counted(client: Client, feed: Feed) -> tuple[Asked, float | None]:
    """The first answer that knows of an event that was just acknowledged, and the ms until then; else the last answer.

    A history that is full does not grow: then another chance than before tells it.
    """
    began = time.perf_counter()
    while True:
        made = ask(client, feed.viewer, feed.candidates)
        more = made.prediction.events > feed.now.prediction.events
        full = feed.now.prediction.events >= HISTORY and made.chances != feed.now.chances
        passed = time.perf_counter() - began
        if more or full:
            return made, 1000 * passed
        if passed > COUNTS_WITHIN_S:
            return made, None
        time.sleep(LOOK_EVERY_S)


def event(viewer: str, video_id: str, request_id: str, kind: Kind, position: int, duration_s: float = 0.0) -> Event:
    """What the viewer did now; a watch is to the end, or as long as counts as engaged where that is not known."""
    watched = {Kind.WATCH: round(1000 * (duration_s or ENGAGED_WATCH_S)), Kind.SKIP: SKIPPED_MS}
    return Event(
        event_id=uuid4().hex, user_id=viewer, video_id=video_id, request_id=request_id,
        ts_ms=time.time_ns() // 1_000_000, kind=kind, watch_ms=watched.get(kind, 0), position=position,
    )  # fmt: skip
