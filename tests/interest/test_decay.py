"""A model's own promises: kept ones are not taken for broken at any look, broken ones are found, and when."""

from __future__ import annotations

import numpy as np
import pytest

from interest.decay import ALPHA, LEAST_VIEWERS, Decay, change, decay


def world(
    viewers: int,
    each: int,
    *,
    shift: float = 0.0,
    after: float = 1.0,
    habit: float = 0.0,
    slope: float = 1.0,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Impressions in order: predicted chances, what came of them, whose; from `after` on their true logit is shifted.

    `habit`: how much viewers differ from each other beyond what is predicted; `slope`: of the true logit on the
    predicted one.
    """
    rng = np.random.default_rng(seed)
    count = viewers * each
    viewer = rng.permutation(np.repeat(np.arange(viewers), each))
    logit = rng.normal(-0.3, 1.0, count)
    chance = 1 / (1 + np.exp(-logit))
    true = slope * logit + shift * (np.arange(count) >= after * count)
    if habit:
        # Chances that differ by viewer and are the predicted ones on average.
        lean = rng.choice([-habit, habit], viewers)[viewer]
        chance = np.minimum(chance, 0.6)
        return chance, rng.random(count) < chance * (1 + lean), viewer
    return chance, rng.random(count) < 1 / (1 + np.exp(-true)), viewer


def test_nothing_is_said_of_few_viewers() -> None:
    assert decay(*world(LEAST_VIEWERS - 1, 20, shift=-3, after=0.0)) == Decay(impressions=99 * 20, viewers=99)


@pytest.mark.parametrize("habit", [0.0, 0.5])
def test_a_model_that_keeps_its_promises_is_left_alone_at_every_look(habit: float) -> None:
    """With no margin at all: 100 worlds, 20 looks at each, at most alpha of them wrong (4 of 100 is beyond chance)."""
    wrong = 0
    for seed in range(100):
        chance, engaged, viewer = world(400, 10, habit=habit, seed=seed)
        looks = np.linspace(500, len(chance), 20).astype(int)
        wrong += any(decay(chance[:n], engaged[:n], viewer[:n], bias_margin=0, loss_margin=0).decayed for n in looks)
    assert wrong <= 4, f"{wrong} of 100 at alpha {ALPHA}"


def test_viewers_who_engage_less_are_found_and_since_when() -> None:
    found = decay(*world(800, 10, shift=-1.0, after=0.5))
    assert found.decayed and found.bias is not None
    assert found.bias.upper < -0.1
    assert found.reasons[0].startswith("viewers engage") and "less than predicted" in found.reasons[0]
    assert found.since == pytest.approx(4000, abs=200)
    assert found.predicted_over_actual is not None and found.predicted_over_actual > 1.15


def test_a_taste_that_has_turned_is_found_though_the_rate_is_the_same() -> None:
    found = decay(*world(800, 10, slope=-1.0))
    assert found.decayed and found.excess is not None and found.excess.lower > 0.02
    assert found.ne is not None and found.ne > 1


def test_a_change_within_the_margin_is_none() -> None:
    assert not decay(*world(2000, 20, shift=-0.05, after=0.0)).decayed


def test_what_was_so_from_the_beginning_has_no_moment_of_change() -> None:
    """Else the noise at either end would be taken for one, and all but a few impressions would be thrown away."""
    assert [decay(*world(300, 10, shift=-1.0, after=0.0, seed=seed)).since for seed in range(20)] == [0] * 20
    rare = np.zeros((1, 1000))
    rare[0, -1] = 1.0
    assert change(rare) == 0


def test_the_moment_of_a_change_is_where_the_means_part() -> None:
    rng = np.random.default_rng(3)
    series = rng.standard_normal((2, 1000))
    series[0, 700:] += 1.0
    assert change(series) == pytest.approx(700, abs=20)
    assert change(np.zeros((2, 1))) == 0
