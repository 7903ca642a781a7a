from __future__ import annotations

import numpy as np
import pytest

from interest.experiments.failures import too_many
from interest.experiments.sample_ratio import ALPHA, check


def drawn(rng: np.random.Generator, share: float, viewers: int, lost: float = 0.0) -> tuple[int, int]:
    candidate = int(rng.binomial(viewers, share))
    return viewers - candidate, candidate - int(rng.binomial(candidate, lost))


def test_sound_arms_are_called_broken_in_hardly_any_run_of_many_looks() -> None:
    broken = 0
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        counts = {0.05: [0, 0], 0.5: [0, 0]}
        for look in range(40):
            share = 0.05 if look < 10 else 0.5
            for arm, more in enumerate(drawn(rng, share, 2000)):
                counts[share][arm] += more
            if check({one: (n[0], n[1]) for one, n in counts.items()}).broken:
                broken += 1
                break
    assert broken / 1000 <= ALPHA


@pytest.mark.parametrize(("share", "viewers", "lost"), [(0.5, 2_500_000, 0.01), (0.05, 200_000, 0.1), (0.5, 400, 0.5)])
def test_lost_viewers_of_an_arm_are_found(share: float, viewers: int, lost: float) -> None:
    found = sum(check({share: drawn(np.random.default_rng(seed), share, viewers, lost)}).broken for seed in range(100))
    assert found >= 95


def test_it_tells_what_was_drawn_and_what_came() -> None:
    ratio = check({0.1: (900, 100), 0.5: (500, 500)})
    assert (ratio.expected, ratio.observed) == pytest.approx((0.3, 0.3))
    assert ratio.p_value == 1.0
    assert check({}).p_value == 1.0


def test_few_failures_are_no_verdict_and_all_failing_is_one_at_once() -> None:
    assert not too_many(9, 9, 0.01, 0.01)
    assert too_many(10, 10, 0.01, 0.01)
    assert too_many(10, 10, 0.0, 0.01)
    assert not too_many(100_000, 1000, 0.01, 0.01)
    assert too_many(100_000, 1500, 0.01, 0.01)


def test_failures_at_the_allowed_share_are_called_too_many_in_hardly_any_run() -> None:
    wrong = 0
    for seed in range(500):
        failed = (np.random.default_rng(seed).random(5000) < 0.02).cumsum()
        wrong += any(too_many(n, int(failed[n - 1]), 0.02, 0.05) for n in range(50, 5001, 50))
    assert wrong / 500 <= 0.05
