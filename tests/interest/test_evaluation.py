"""Figures by hand and by independent computation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interest.evaluation import (
    Figure,
    auc,
    bootstrap,
    expected_calibration_error,
    gate,
    gauc,
    normalised_entropy,
    popularity,
    predicted_over_actual,
    share,
)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.7]), st.booleans()), min_size=2, max_size=40))
def test_auc_counts_ordered_pairs_and_half_of_the_ties(rows: list[tuple[float, bool]]) -> None:
    chance, engaged = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    yes, no = chance[engaged], chance[~engaged]
    if not len(yes) or not len(no):
        assert np.isnan(auc(chance, engaged))
        return
    wins = sum(float(a > b) + 0.5 * float(a == b) for a in yes for b in no)
    assert auc(chance, engaged) == pytest.approx(wins / (len(yes) * len(no)))


def test_gauc_weighs_viewers_by_impressions_and_leaves_out_those_of_one_class() -> None:
    viewer = np.array([0, 0, 0, 1, 1, 2, 2])
    engaged = np.array([1, 0, 0, 1, 0, 1, 1], bool)
    chance = np.array([0.9, 0.1, 0.2, 0.1, 0.9, 0.5, 0.6])
    assert gauc(chance, engaged, viewer) == pytest.approx((3 * 1.0 + 2 * 0.0) / 5)


def test_the_mean_has_normalised_entropy_one() -> None:
    engaged = np.array([1, 0, 0, 0], bool)
    assert normalised_entropy(np.full(4, 0.25), engaged) == pytest.approx(1.0)


def test_calibration_of_a_true_chance_is_near_zero_and_of_a_doubled_one_is_not() -> None:
    rng = np.random.default_rng(0)
    chance = rng.uniform(0.05, 0.45, 50_000)
    engaged = rng.random(50_000) < chance
    assert expected_calibration_error(chance, engaged) < 0.01
    assert expected_calibration_error(2 * chance, engaged) == pytest.approx(0.25, abs=0.02)
    assert predicted_over_actual(2 * chance, engaged) == pytest.approx(2.0, abs=0.05)


def test_share_is_zero_at_nothing_and_one_at_the_ceiling() -> None:
    assert share(0.6, ceiling=0.7, nothing=0.5) == pytest.approx(0.5)
    assert share(0.95, ceiling=0.9, nothing=1.0) == pytest.approx(0.5)


def test_the_bootstrap_interval_covers_the_mean_and_resamples_viewers() -> None:
    rng = np.random.default_rng(0)
    # Ten viewers whose rows are all alike: resampling rows would see 1,000 values, resampling viewers ten.
    values, viewer = np.repeat(rng.standard_normal(10), 100), np.repeat(np.arange(10), 100)
    figure = bootstrap(lambda rows: float(values[rows].mean()), viewer, 400)
    width = 3.92 * values.std() / np.sqrt(10)
    assert figure.value == pytest.approx(values.mean())
    assert figure.high - figure.low == pytest.approx(width, rel=0.25)


def test_popularity_knows_videos_positions_and_falls_back_to_the_mean() -> None:
    video, position = np.repeat([0, 1], 1000), np.tile([1, 2], 1000)
    engaged = np.where(video == 0, True, False)
    predict = popularity(video, position, engaged)
    seen = predict(np.array([0, 1]), np.array([1, 1]))
    assert seen[0] > 0.95 > 0.05 > seen[1]
    assert predict(np.array([99]), np.array([1]))[0] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"auc": 0.59}, "AUC 0.5900 does not beat popularity's 0.6000"),
        ({"ne": 0.99}, "normalised entropy"),
        ({"ece": 0.2}, "calibration error 0.2000 is above 0.03"),
        ({"predicted_over_actual": 1.5}, "predicted/actual 1.500"),
        ({"auc": float("nan")}, "AUC nan"),
    ],
)
def test_the_gate_holds_back_and_says_why(changed: dict[str, float], reason: str) -> None:
    good: dict[str, Figure | float] = {
        "auc": 0.7, "baseline_auc": 0.6, "ne": 0.9, "baseline_ne": 0.95, "ece": 0.01, "predicted_over_actual": 1.0,
    }  # fmt: skip
    assert gate(good).publish
    verdict = gate(good | changed)
    assert not verdict.publish
    assert any(text.startswith(reason) for text in verdict.reasons)
