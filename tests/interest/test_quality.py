"""Quality by slice: the figures are the plain ones, and their intervals cover the truth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from interest.evaluation import areas, auc, gauc, normalised_entropy, predicted_over_actual
from interest.quality import LEAST_VIEWERS, calibration_curve, quality

Made = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]


def impressions(rng: np.random.Generator, viewers: int = 300, each: int = 12) -> Made:
    """Viewers who differ in how readily they engage, which the model does not know."""
    viewer = np.repeat(np.arange(viewers), each)
    logit = rng.normal(-0.5, 1.0, len(viewer))
    own = rng.normal(0.0, 0.8, viewers)[viewer]
    engaged = rng.random(len(viewer)) < 1 / (1 + np.exp(-logit - own))
    return 1 / (1 + np.exp(-logit)), engaged, viewer


def test_the_figures_are_those_of_evaluation() -> None:
    chance, engaged, viewer = impressions(np.random.default_rng(0))
    chance = chance.round(2)  # with ties
    arm = np.where(viewer % 3 == 0, "candidate", "stable")
    everything, candidate, stable = quality(chance, engaged, viewer, {"arm": arm})
    assert (candidate.slice, candidate.level, stable.level) == ("arm", "candidate", "stable")
    assert candidate.impressions + stable.impressions == everything.impressions == len(chance)
    for found, rows in ((everything, viewer >= 0), (candidate, arm == "candidate"), (stable, arm == "stable")):
        given = chance[rows], engaged[rows]
        for name, value in (
            ("auc", auc(*given)),
            ("ne", normalised_entropy(*given)),
            ("predicted_over_actual", predicted_over_actual(*given)),
            ("gauc", gauc(*given, viewer[rows])),
        ):
            interval = getattr(found, name)
            assert interval.value == pytest.approx(value), name
            assert interval.lower < value < interval.upper
    assert everything.auc is not None and candidate.auc is not None
    assert everything.auc.upper - everything.auc.lower < candidate.auc.upper - candidate.auc.lower


def test_areas_are_the_aucs_of_the_viewers() -> None:
    chance, engaged, viewer = impressions(np.random.default_rng(1), viewers=60, each=5)
    chance = chance.round(1)
    mixed = np.random.default_rng(2).permutation(len(chance))
    inside, weight, owner = areas(chance[mixed], engaged[mixed], viewer[mixed])
    apart = {one: auc(chance[viewer == one], engaged[viewer == one]) for one in range(60)}
    assert dict(zip(owner.tolist(), inside.tolist(), strict=True)) == pytest.approx(
        {one: value for one, value in apart.items() if not np.isnan(value)}
    )
    assert set(weight) == {5.0}


def test_intervals_cover_the_truth_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(3)
    large = quality(*impressions(rng, viewers=40_000), {})[0]
    names = ("ne", "predicted_over_actual", "auc", "gauc")
    hit = dict.fromkeys(names, 0)
    for _ in range(300):
        (found,) = quality(*impressions(rng, viewers=150), {})
        for name in names:
            interval, truth = getattr(found, name), getattr(large, name).value
            hit[name] += interval.lower <= truth <= interval.upper
    assert all(0.91 <= count / 300 <= 0.985 for count in hit.values()), hit


def test_a_curve_shows_where_a_model_promises_too_much() -> None:
    rng = np.random.default_rng(4)
    viewer = np.repeat(np.arange(500), 10)
    chance = rng.uniform(0.05, 0.95, len(viewer))
    engaged = rng.random(len(viewer)) < np.where(chance > 0.5, chance - 0.2, chance)
    curve = calibration_curve(chance, engaged, viewer)
    assert [one.impressions for one in curve] == [500] * 10
    off = [not one.actual.lower <= one.predicted <= one.actual.upper for one in curve]
    assert off[5:] == [True] * 5 and sum(off[:5]) <= 1


def test_what_is_not_defined_is_not_told() -> None:
    chance, engaged, viewer = impressions(np.random.default_rng(5), viewers=LEAST_VIEWERS - 1)
    (few,) = quality(chance, engaged, viewer, {})
    assert (few.viewers, few.engaged, few.ne, few.auc) == (LEAST_VIEWERS - 1, None, None, None)
    chance, _, viewer = impressions(np.random.default_rng(5))
    (sure,) = quality(chance, np.ones(len(chance), bool), viewer, {})
    assert (sure.engaged, sure.ne, sure.auc) == (1.0, None, None)
    nothing = quality(np.zeros(0), np.zeros(0, bool), np.zeros(0, np.int64), {"arm": []})
    assert [one.impressions for one in nothing] == [0]
    assert calibration_curve(np.zeros(0), np.zeros(0, bool), np.zeros(0, np.int64)) == ()
