"""The calibration curve by hand, and its intervals against a world in which the truth is known."""

import numpy as np
import pytest

from interest.calibration import curve
from interest.errors import NotEnoughData


def test_bins_of_equal_size_with_the_rates_in_each() -> None:
    chance = np.repeat([0.2, 0.6], 100)
    engaged = np.concatenate([np.arange(100) < 10, np.arange(100) < 70])
    found = curve(chance[::-1].copy(), engaged[::-1].copy(), np.arange(200), bins=2)
    np.testing.assert_allclose(found.predicted, [0.2, 0.6])
    np.testing.assert_allclose(found.actual, [0.1, 0.7])
    assert found.count.tolist() == [100, 100]
    assert found.histogram.sum() == 200
    assert (found.edges[0], found.edges[-1]) == (0.0, 0.6)


def test_intervals_hold_the_truth_and_are_wider_where_viewers_repeat_themselves() -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(40):
        chance = rng.uniform(0.1, 0.9, 2000)
        found = curve(chance, rng.random(2000) < chance, np.arange(2000) // 4, bins=5)
        held.append((found.low <= found.predicted) & (found.predicted <= found.high))
    assert 0.88 < np.mean(held) < 0.99
    once = curve(np.full(2000, 0.5), np.arange(2000) % 2 == 0, np.arange(2000), bins=1)
    alike = curve(np.full(2000, 0.5), np.arange(2000) // 20 % 2 == 0, np.arange(2000) // 20, bins=1)
    assert alike.high - alike.low > 3 * (once.high - once.low)


def test_few_impressions_say_nothing() -> None:
    with pytest.raises(NotEnoughData, match="99 impressions are too few"):
        curve(np.full(99, 0.5), np.zeros(99, bool), np.arange(99))
