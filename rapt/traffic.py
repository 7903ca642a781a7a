"""Live traffic in a closed loop: simulated viewers ask the endpoint and react to what it ranks first.

rapt traffic --users 200 --rate 50 --seconds 30
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx
import msgspec
import numpy as np

from inference.client import JSON, PREDICT, predict_body, prediction
from inference.errors import EndpointRefused, EndpointUnavailable
from interest.simulator.audience import Audience
from wire.errors import BufferFull, KafkaError
from wire.kafka import EVENTS, Producer

CANDIDATES = 50
PAGE = 5
RANDOMISED_SHARE = 0.1
CONNECTIONS = 64
RECENT = 2000
"""Requests that the live line's quantiles are of."""
TELL_EVERY_S = 0.5
FLUSH_S = 30.0
NOBODY_FREE = "no viewer is free: more --users or a lower --rate"


@dataclass(frozen=True)
class Plan:
    """How to ask: `rate` requests a second for `seconds` (0: until Ctrl-C), each of `candidates` videos.

    The `page` best are shown, or, to a share of pages, as many drawn at random.
    """

    endpoint: str
    rate: float
    seconds: float
    candidates: int = CANDIDATES
    page: int = PAGE
    randomised_share: float = RANDOMISED_SHARE
    seed: int = 0
    timeout_s: float = 5.0


@dataclass
class Pages:
    """Videos shown, and those of them that engaged."""

    shown: int = 0
    engaged: int = 0

    @property
    def share(self) -> float | None:
        """Engaged of shown."""
        return round(self.engaged / self.shown, 4) if self.shown else None


@dataclass
class Traffic:
    """What came of it so far; `undelivered` says why the last events were not acknowledged."""

    requests: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    last_failure: str = ""
    latency_ms: list[float] = field(default_factory=list)
    state_age_ms: list[float] = field(default_factory=list)
    events: int = 0
    ranked: Pages = field(default_factory=Pages)
    randomised: Pages = field(default_factory=Pages)
    models: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    undelivered: str = ""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return round(self.requests / self.seconds, 1) if self.seconds else 0.0

    def document(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "requests": self.requests,
            "failures": dict(self.failures),
            "last_failure": self.last_failure,
            "requests_per_s": self.rate,
            "latency_ms": quantiles(self.latency_ms),
            "state_age_ms": quantiles(self.state_age_ms),
            "events": self.events,
            "engaged_share_ranked": self.ranked.share,
            "engaged_share_randomised": self.randomised.share,
            "models": dict(self.models),
            "seconds": round(self.seconds, 1),
            "undelivered": self.undelivered,
        }


def run(
    audience: Audience,
    producer: Producer,
    plan: Plan,
    tell: Callable[[Traffic], None] = lambda _: None,
    ended: threading.Event | None = None,
) -> Traffic:
    """Ask and react until the time is over, `ended`, or Ctrl-C; events are acknowledged then, or `undelivered`
    says why not. Raises at once what makes every event fail: UnknownTopic, KafkaDenied.

    Requests leave on a fixed schedule whatever the answers do, and latency counts from the moment that a
    request was due, so that a slow endpoint cannot hide its queue. A viewer has one request at a time.
    """
    loop = _Loop(audience, producer, plan, tell, ended or threading.Event())
    try:
        asyncio.run(loop.run())
    except KeyboardInterrupt:
        pass
    except ExceptionGroup as several:  # the first one stopped the others
        raise several.exceptions[0] from None
    try:
        producer.flush(FLUSH_S)
    except KafkaError as error:
        loop.traffic.undelivered = str(error)
    return loop.traffic


class _Loop:
    def __init__(
        self,
        audience: Audience,
        producer: Producer,
        plan: Plan,
        tell: Callable[[Traffic], None],
        ended: threading.Event,
    ) -> None:
        self.ended = ended
        self.audience, self.producer, self.plan, self.tell = audience, producer, plan, tell
        self.rng = np.random.default_rng([plan.seed, 7])
        self.videos = [video.video_id for video in audience.catalog]
        self.traffic = Traffic()
        self.free = list(range(len(audience.users)))

    async def run(self) -> None:
        begun = time.monotonic()
        end = begun + self.plan.seconds if self.plan.seconds else math.inf
        try:
            async with self._client() as client, asyncio.TaskGroup() as visits:
                clock = visits.create_task(self._clock(begun))
                number = 0
                while (due := begun + number / self.plan.rate) < end and not self.ended.is_set():
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                    number += 1
                    if self.free:
                        viewer = self.free.pop(int(self.rng.integers(len(self.free))))
                        visits.create_task(self._visit(client, viewer, due))
                    else:
                        self._failed(NOBODY_FREE, NOBODY_FREE)
                clock.cancel()
        finally:
            self.traffic.seconds = time.monotonic() - begun
            self.tell(self.traffic)

    def _client(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        return httpx.AsyncClient(base_url=self.plan.endpoint, timeout=self.plan.timeout_s, limits=limits, headers=JSON)

    async def _clock(self, begun: float) -> None:
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            self.traffic.seconds = time.monotonic() - begun
            self.tell(self.traffic)

    async def _visit(self, client: httpx.AsyncClient, viewer: int, due: float) -> None:
        try:
            await self._page(client, viewer, due)
        except httpx.HTTPError as error:
            self._failed(type(error).__name__, f"{type(error).__name__}: {error}")
        except EndpointRefused as error:
            self._failed(f"refused with {error.status}", str(error))
        except EndpointUnavailable as error:
            self._failed("not available", str(error))
        finally:
            self.free.append(viewer)

    async def _page(self, client: httpx.AsyncClient, viewer: int, due: float) -> None:
        picked = self.rng.choice(len(self.videos), min(self.plan.candidates, len(self.videos)), replace=False)
        candidates = [self.videos[row] for row in picked]
        randomised = bool(self.rng.random() < self.plan.randomised_share)
        made = prediction(await client.post(PREDICT, content=predict_body(self.audience.users[viewer], candidates)))
        traffic = self.traffic
        traffic.requests += 1
        traffic.latency_ms.append((time.monotonic() - due) * 1e3)
        traffic.state_age_ms.append(made.state_age_ms)
        traffic.models[made.model_digest[:12]] += 1
        ranked = [one.video_id for one in sorted(made.videos, key=lambda one: -one.probability)]
        page = (candidates if randomised else ranked)[: self.plan.page]
        self._react(viewer, page, made.request_id, randomised)

    def _react(self, viewer: int, page: list[str], request_id: str, randomised: bool) -> None:
        now_ms = time.time_ns() // 1_000_000
        reaction = self.audience.react(viewer, page, now_ms, request_id=request_id, randomised=randomised)
        for number, event in enumerate(reaction.events):
            try:
                self.producer.send(EVENTS, event.user_id.encode(), msgspec.json.encode(event))
            except BufferFull as error:
                self._failed("events not taken", str(error))
                self.traffic.events += number
                return
        self.traffic.events += len(reaction.events)
        pages = self.traffic.randomised if randomised else self.traffic.ranked
        pages.shown += len(page)
        pages.engaged += reaction.engaged

    def _failed(self, kind: str, reason: str) -> None:
        self.traffic.failures[kind] += 1
        self.traffic.last_failure = reason


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """The median and two high quantiles; empty for none."""
    if not values:
        return {}
    return {f"p{share}": round(float(np.percentile(values, share)), 2) for share in (50, 90, 99)}


def line(traffic: Traffic) -> str:
    """How it goes just now, for a person; quantiles of the last requests."""
    latency, age = quantiles(traffic.latency_ms[-RECENT:]), quantiles(traffic.state_age_ms[-RECENT:])
    parts = [f"{traffic.seconds:.0f} s", f"{traffic.rate:g}/s"]
    if latency:
        parts.append(f"latency p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms")
        parts.append(f"state age p99 {age['p99']:.0f} ms")
    for name, pages in (("ranked", traffic.ranked), ("at random", traffic.randomised)):
        if pages.share is not None:
            parts.append(f"engaged {name} {pages.share:.1%}")
    if failed := sum(traffic.failures.values()):
        parts.append(f"failed {failed}")
    return "  ".join(parts)
