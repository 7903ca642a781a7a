"""The parts that a serving benchmark is made of: one run of the load generator, one round of a peer beside ours."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from benchmarks.load import Load, http_request, measure
from benchmarks.peers import servers
from benchmarks.peers.servers import NAIVE, V1, Floats, Hosted, Peer, Protocol, Question, Started
from tests.ports import free_ports

RATE, CONNECTIONS = 100.0, 8
CHECKED = 10
"""Questions that a peer must answer as the scorer does before it is measured."""


@dataclass(frozen=True)
class Plan:
    """How long each part takes."""

    rounds: int = 3
    warm_s: float = 1.0
    saturated_s: float = 3.0
    rate_s: float = 10.0
    peer_rate_s: float = 5.0
    naive_s: float = 8.0
    curve_s: float = 1.5
    fresh_s: float = 15.0


QUICK = Plan(rounds=1, warm_s=0.5, saturated_s=2.0, rate_s=5.0, peer_rate_s=2.0, naive_s=3.0, curve_s=0.5, fresh_s=4.0)


@dataclass
class Side:
    """What was measured of a server; for a peer, `ours` holds our run right after each of its `saturated`."""

    saturated: list[Load] = field(default_factory=list)
    ours: list[Load] = field(default_factory=list)
    rated: list[Load] = field(default_factory=list)
    difference: float = 0.0

    @property
    def per_cpu_s(self) -> float:
        """Answers for a CPU second, the median of rounds."""
        return statistics.median(load.per_cpu_s for load in self.saturated)

    @property
    def ratios(self) -> list[float]:
        """How many times more ours answers for a CPU second, round by round."""
        return [mine.per_cpu_s / theirs.per_cpu_s for mine, theirs in zip(self.ours, self.saturated, strict=True)]


@dataclass(frozen=True)
class Bench:
    """What the parts share: what the peers are given, requests as questions, what the first must be answered."""

    plan: Plan
    folder: Path
    hosted: Hosted
    asked: Sequence[Question]
    expected: Sequence[Floats]

    def load(
        self, started: Started, protocol: Protocol, seconds: float, *, rate: float | None = None,
        connections: int | None = CONNECTIONS, asked: Sequence[Question] | None = None, pids: Sequence[int] = (),
    ) -> Load:  # fmt: skip
        """One run of the generator against a server; an answer but 200 ends the benchmark."""
        bodies = (protocol.body(question, self.hosted.now_ms) for question in asked or self.asked)
        requests = self.folder / "requests.msgpack"
        requests.write_bytes(
            msgspec.msgpack.encode([http_request(started.address, protocol.path, body) for body in bodies])
        )
        found = measure(started.address, requests, seconds, rate=rate, connections=connections,
                        pids=pids or started.pids)  # fmt: skip
        assert not found.errors and found.requests, f"{started.name}: {found.errors} errors, {found.requests} answers"
        return found

    def peer(self, peer: Peer, side: Side, mine: Callable[[], Started] | None) -> None:
        """One round of a peer, and of ours right after it."""
        plan, run = self.plan, self.folder / "peers"
        started = servers.start(peer, self.hosted, run, free_ports(), self.asked[0])
        try:
            side.difference = servers.agree(peer, started, self.asked[:CHECKED], self.hosted, self.expected[:CHECKED])
            self.load(started, peer.protocol, plan.warm_s)
            side.saturated.append(self.load(started, peer.protocol, plan.saturated_s))
            if not side.rated:
                side.rated.append(self.load(started, peer.protocol, plan.peer_rate_s, rate=RATE))
        finally:
            servers.stop(started, run)
        if mine is not None:
            side.ours.append(self.load(mine(), V1, plan.saturated_s))

    def naive(self, side: Side) -> None:
        """The naive service answers so slowly that it gets one connection, and one go."""
        run = self.folder / "peers"
        started = servers.start(NAIVE, self.hosted, run, free_ports(), self.asked[0])
        try:
            side.difference = servers.agree(NAIVE, started, self.asked[:2], self.hosted, self.expected[:2])
            side.saturated.append(self.load(started, NAIVE.protocol, self.plan.naive_s, connections=1))
        finally:
            servers.stop(started, run)
