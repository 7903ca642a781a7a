"""What is noted is in the end what counting and observing at once would have made."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from inference.server.later import Count, Spread, settle

SMALL = 2.0**-10
BUCKETS = (SMALL, 0.5, 1.0)
"""Sums of such values are exact in any order."""
VALUES = st.lists(st.sampled_from([0.0, SMALL, 0.25, 0.5, 0.75, 1.0, 2.0, 1024.0]), max_size=30)


def made(registry: CollectorRegistry) -> list[str]:
    """What a scrape says, without the moments of creation."""
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


@given(st.lists(VALUES, max_size=4))
def test_a_spread_is_the_histogram_of_the_same_values(batches: list[list[float]]) -> None:
    at_once, later = CollectorRegistry(), CollectorRegistry()
    plain = Histogram("h", "d", ("kind",), buckets=BUCKETS, registry=at_once).labels("x")
    spread = Spread("h", "d", ("kind",), buckets=BUCKETS, registry=later).labels("x")
    for batch in batches:
        for value in batch:
            plain.observe(value)
            spread.note(value)
        settle()
        assert made(later) == made(at_once)


@given(st.lists(st.lists(st.integers(0, 5), max_size=5), max_size=4))
def test_a_count_is_the_counter_of_the_same_amounts(batches: list[list[int]]) -> None:
    at_once, later = CollectorRegistry(), CollectorRegistry()
    plain, count = Counter("c", "d", registry=at_once), Count("c", "d", registry=later)
    for batch in batches:
        for amount in batch:
            plain.inc(amount)
            count.note(amount)
        settle()
        assert made(later) == made(at_once)


def test_nothing_is_counted_before_it_is_settled() -> None:
    registry = CollectorRegistry()
    count = Count("c", "d", registry=registry)
    count.note(3)
    assert "c_total 0.0" in made(registry)
    settle()
    settle()
    assert "c_total 3.0" in made(registry)
