from __future__ import annotations

import math

import numpy as np
import pytest

from interest.experiments.confidence import boundary, precision_for
from interest.experiments.panel import AHEAD, Panel, ViewerWindow


def window(
    rng: np.random.Generator, who: np.ndarray, place: np.ndarray, share: float, mean: np.ndarray, lift: float = 1.0
) -> ViewerWindow:
    chance = np.clip(np.where(place < share, lift * mean, mean), 0, 1)
    outcomes = rng.binomial(5, chance)[:, None] / 5
    return ViewerWindow(
        viewer=who.astype(np.uint64), candidate=place < share, propensity=np.full(len(who), share),
        baseline=np.clip(mean + rng.normal(0, 0.1, len(who)), 0, 1), outcomes=outcomes,
    )  # fmt: skip


def by_hand(windows: list[ViewerWindow], alpha: float) -> tuple[float, float, float]:
    """Effect, lower and upper, viewer by viewer in plain Python; the precision fixed at the first window."""
    sums: dict[int, float] = {}
    counts: dict[int, int] = {}
    first: dict[int, float] = {}
    seen: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
    precision = 0.0
    for one in windows:
        for key, base in zip(one.viewer.tolist(), one.baseline.tolist(), strict=True):
            first.setdefault(key, base)
        for key, y in zip(one.viewer.tolist(), one.outcomes[:, 0].tolist(), strict=True):
            seen[key % 2].append((first[key], y))
        lines = [np.polyfit(*np.array(half).T, 1) for half in seen]
        columns = one.viewer.tolist(), one.outcomes[:, 0].tolist(), one.candidate.tolist(), one.propensity.tolist()
        for key, y, candidate, chance in zip(*columns, strict=True):
            slope, start = lines[1 - key % 2]
            left = y - (start + slope * first[key])
            sums[key] = sums.get(key, 0.0) + (left / chance if candidate else -left / (1 - chance))
            counts[key] = counts.get(key, 0) + 1
        effect = sum(sums.values()) / sum(counts.values())
        variance = sum((sums[key] - counts[key] * effect) ** 2 for key in sums)
        precision = precision or precision_for(AHEAD * variance, alpha)
    radius = boundary(variance, alpha, precision) / sum(counts.values())
    return effect, effect - radius, effect + radius


def test_the_estimate_is_that_of_a_computation_by_hand_with_viewers_who_come_again_and_a_share_that_grows() -> None:
    rng = np.random.default_rng(1)
    place, mean = rng.random(3000), rng.beta(3, 5, 3000)
    windows = []
    for share in (0.2, 0.2, 0.5):
        who = rng.choice(3000, 2000, replace=False)
        windows.append(window(rng, who, place[who], share, mean[who], lift=1.3))
    panel = Panel(1, 0.05)
    for one in windows:
        panel.add(one)
    found = panel.estimate(0)
    assert (found.effect, found.lower, found.upper) == pytest.approx(by_hand(windows, 0.05), rel=1e-9)
    assert found.effect == pytest.approx(0.3 * 0.375, abs=0.03)
    assert panel.viewers == len(set(np.concatenate([one.viewer for one in windows]).tolist()))


def test_nothing_is_said_while_an_arm_has_too_few_viewers() -> None:
    rng = np.random.default_rng(0)
    panel = Panel(1, 0.05)
    who = np.arange(500)
    panel.add(window(rng, who, rng.random(500), 0.05, np.full(500, 0.3)))
    assert panel.estimate(0).lower is None
    assert panel.estimate(0).stable == pytest.approx(0.3, abs=0.05)


def test_outcomes_that_are_missing_count_for_nothing() -> None:
    rng = np.random.default_rng(0)
    who, place = np.arange(4000), rng.random(4000)
    whole = window(rng, who, place, 0.5, np.full(4000, 0.3))
    some = rng.random(4000) < 0.5
    holed = ViewerWindow(whole.viewer, whole.candidate, whole.propensity, whole.baseline,
                         np.where(some[:, None], whole.outcomes, np.nan))  # fmt: skip
    part = ViewerWindow(*(getattr(whole, name)[some] for name in ("viewer", "candidate", "propensity", "baseline",
                                                                   "outcomes")))  # fmt: skip
    first, second = Panel(1, 0.05), Panel(1, 0.05)
    first.add(holed)
    second.add(part)
    assert first.estimate(0).effect == pytest.approx(second.estimate(0).effect)


@pytest.mark.parametrize("again", [0.0, 1.0], ids=["new viewers", "the same viewers"])
def test_without_a_difference_the_interval_leaves_out_nothing_in_hardly_any_run_however_often_one_looks(
    again: float,
) -> None:
    """With the same viewers at all 60 looks, whose habits no baseline tells, outcomes are anything but independent."""
    wrong, runs = 0, 300
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        place, habit = rng.random(60_000), rng.beta(1, 2, 60_000)
        panel = Panel(1, 0.05)
        for look in range(60):
            who = np.arange(1000) if again else np.arange(1000 * look, 1000 * look + 1000)
            share = 0.25 if look < 20 else 0.5
            one = window(rng, who, place[who], share, habit[who])
            panel.add(ViewerWindow(one.viewer, one.candidate, one.propensity, np.zeros(len(who)), one.outcomes))
            found = panel.estimate(0)
            if found.lower is not None and found.upper is not None and not found.lower <= 0 <= found.upper:
                wrong += 1
                break
    assert wrong / runs <= 0.05


def test_the_boundary_is_crossed_by_a_random_walk_in_hardly_any_run_and_by_a_z_test_in_many() -> None:
    rng = np.random.default_rng(0)
    walks = rng.normal(0, 1, (2000, 1000)).cumsum(1)
    steps = np.arange(1, 1001)
    ours = np.array([boundary(step, 0.05, precision_for(300.0, 0.05)) for step in steps])
    assert (np.abs(walks) > ours).any(1).mean() <= 0.05
    assert (np.abs(walks) > 1.96 * np.sqrt(steps)).any(1).mean() > 0.3


def test_the_precision_is_the_one_by_which_the_boundary_is_narrowest() -> None:
    best = precision_for(1000.0, 0.05)
    widths = {factor: boundary(1000.0, 0.05, best * factor) for factor in (0.5, 0.9, 1.0, 1.1, 2.0)}
    assert min(widths, key=lambda factor: widths[factor]) == 1.0
    assert math.isclose(boundary(0.0, 0.05, 1.0), math.sqrt(2 * math.log(20)))
