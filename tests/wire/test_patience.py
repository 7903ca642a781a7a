"""Waits of fetches, by a clock of the test's own."""

from __future__ import annotations

import pytest

from wire.kafka.patience import Patience


class Reader:
    def __init__(self) -> None:
        self.now = 0.0
        self.patience = Patience(50, lambda: self.now)

    def turns(self, seconds: float, *, records: int, lag: int) -> list[int]:
        """A turn each 50 ms; the waits that it had, each once."""
        waits = [self.patience.wait_ms]
        for _ in range(round(seconds / 0.05)):
            self.now += 0.05
            if self.patience.changed(records=records, lag=lag):
                waits.append(self.patience.wait_ms)
        return waits


def test_who_keeps_up_keeps_the_short_wait() -> None:
    assert Reader().turns(60, records=100, lag=500) == [50]


@pytest.mark.parametrize("records", [0, 1])
def test_who_is_behind_and_gets_little_waits_longer_step_by_step(records: int) -> None:
    reader = Reader()
    assert reader.turns(0.45, records=records, lag=5000) == [50]
    assert reader.turns(60, records=records, lag=5000) == [50, 500, 10_000]


@pytest.mark.parametrize("records", [0, 10])
def test_who_is_level_comes_back_to_the_short_wait(records: int) -> None:
    reader = Reader()
    reader.turns(60, records=0, lag=5)
    assert reader.turns(60, records=records, lag=0) == [10_000, 500, 50]


def test_who_is_level_only_now_and_then_stays() -> None:
    reader = Reader()
    reader.turns(1, records=0, lag=5)
    for _ in range(20):
        reader.turns(1, records=2, lag=0)
        assert reader.turns(0.1, records=2, lag=3) == [500]
