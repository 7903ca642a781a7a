"""One of our servers that tells what its metrics cost: python -m benchmarks.timed inference.predictor [its arguments]

Its /metrics has `bench_metrics_cpu_seconds_total`: CPU time inside the calls that count and observe, less what reading
the clock takes.
"""

from __future__ import annotations

import functools
import runpy
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from inference.server.later import Count, Spread

NAME = "bench_metrics_cpu_seconds"
CALLS = (
    (Counter, ("labels", "inc")),
    (Gauge, ("labels", "inc", "dec", "set")),
    (Histogram, ("labels", "observe")),
    (Spread, ("note", "settle")),
    (Count, ("note", "settle")),
)
TRIES = 20_000


class Clock(Collector):
    """Adds up the time inside what it wraps, once where one calls another."""

    def __init__(self) -> None:
        self.spent_ns, self.calls, self.inside = 0, 0, False
        empty = self.timed(lambda: None)
        rounds = []
        for _ in range(5):
            before = self.spent_ns
            for _ in range(TRIES):
                empty()
            rounds.append((self.spent_ns - before) / TRIES)
        self.own_ns = statistics.median(rounds)
        self.spent_ns, self.calls = 0, 0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, on the clock."""

        @functools.wraps(function)
        def call(*given: Any, **named: Any) -> Any:
            if self.inside:
                return function(*given, **named)
            self.inside = True
            began_ns = time.thread_time_ns()
            try:
                return function(*given, **named)
            finally:
                self.spent_ns += time.thread_time_ns() - began_ns
                self.calls, self.inside = self.calls + 1, False

        return call

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(NAME, "CPU in metrics.", value=(self.spent_ns - self.calls * self.own_ns) / 1e9)


if __name__ == "__main__":
    clock = Clock()
    for kind, names in CALLS:
        for name in names:
            setattr(kind, name, clock.timed(getattr(kind, name)))
    REGISTRY.register(clock)
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
