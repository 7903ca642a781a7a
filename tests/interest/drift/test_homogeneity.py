"""The test of labels: scipy's where rows are independent, and honest where they are not."""

import numpy as np
import pytest
from scipy.stats import binom, chi2_contingency, t

from interest.drift.homogeneity import effective_groups, homogeneity


def labels(rng: np.random.Generator, rows: int, chances: list[float]) -> np.ndarray:
    return rng.choice(len(chances), rows, p=chances)


def crowd(rng: np.random.Generator, viewers: int, rows: int, first: int, taste: float = 0.5) -> tuple[np.ndarray, ...]:
    """Labels of viewers who mostly repeat their own favourite, and whose rows they are; some come far more often."""
    who = rng.choice(viewers, rows, p=rng.dirichlet(np.ones(viewers)))
    favourite = labels(rng, viewers, [0.4, 0.3, 0.2, 0.1])
    drawn = labels(rng, rows, [0.4, 0.3, 0.2, 0.1])
    return np.where(rng.random(rows) < taste, favourite[who], drawn), first + who


def test_without_groups_it_is_pearsons_test() -> None:
    rng = np.random.default_rng(1)
    samples = labels(rng, 700, [0.5, 0.3, 0.2]), labels(rng, 400, [0.45, 0.3, 0.25])
    made = homogeneity(samples, 3)
    counts = np.stack([np.bincount(one, minlength=3) for one in samples])
    assert made.p_value == pytest.approx(chi2_contingency(counts, correction=False).pvalue)
    assert made.shares == pytest.approx(counts / counts.sum(1, keepdims=True))
    assert made.total_variation == pytest.approx(np.abs(made.shares[0] - made.shares[1]).max(), rel=1.0)


def test_total_variation_is_the_share_of_rows_that_would_have_to_change() -> None:
    made = homogeneity((np.repeat([0, 1], [80, 20]), np.repeat([0, 1, 2], [50, 30, 20])), 3)
    assert made.total_variation == pytest.approx(0.3)


def test_many_groups_of_one_row_say_what_no_groups_say() -> None:
    rng = np.random.default_rng(2)
    samples = labels(rng, 4000, [0.5, 0.3, 0.2]), labels(rng, 4000, [0.48, 0.3, 0.22])
    groups = np.arange(4000), np.arange(4000, 8000)
    grouped, plain = homogeneity(samples, 3, groups).p_value, homogeneity(samples, 3).p_value
    assert grouped == pytest.approx(plain, rel=0.05)


def test_rows_that_are_copies_add_nothing() -> None:
    rng = np.random.default_rng(3)
    samples = labels(rng, 300, [0.5, 0.3, 0.2]), labels(rng, 200, [0.4, 0.4, 0.2])
    groups = np.arange(300), np.arange(300, 500)
    once = homogeneity(samples, 3, groups)
    copied = homogeneity(
        (np.repeat(samples[0], 7), np.repeat(samples[1], 7)), 3, (np.repeat(groups[0], 7), np.repeat(groups[1], 7))
    )
    assert copied.p_value == pytest.approx(once.p_value)


def test_two_labels_of_unequal_groups_are_a_t_test_of_what_each_group_adds() -> None:
    rng = np.random.default_rng(5)
    samples = [crowd(rng, 25, 300, first) for first in (0, 25)]
    yes = [one[0] > 0 for one in samples]
    means = [one.mean() for one in yes]
    variance, effective = 0.0, []
    for said, (_, who), mean in zip(yes, samples, means, strict=True):
        sizes = np.array([(who == viewer).sum() for viewer in np.unique(who)])
        effective.append(300**2 / (sizes**2).sum())
        variance += sum(((said[who == viewer] - mean).sum() / 300) ** 2 for viewer in np.unique(who))
    fewest = min(effective)
    score = abs(means[1] - means[0]) / np.sqrt(variance * fewest / (fewest - 1))
    made = homogeneity((yes[0].astype(int), yes[1].astype(int)), 2, (samples[0][1], samples[1][1]))
    assert made.p_value == pytest.approx(2 * t.sf(score, fewest - 1))


def test_null_groups_are_flagged_at_the_stated_level_where_pearsons_test_flags_most() -> None:
    runs, alpha = 400, 0.05
    honest = naive = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        first, second = crowd(rng, 60, 1500, 0), crowd(rng, 60, 1000, 60)
        honest += (homogeneity((first[0], second[0]), 4, (first[1], second[1])).p_value or 0.0) <= alpha
        naive += (homogeneity((first[0], second[0]), 4).p_value or 0.0) <= alpha
    assert honest <= binom.ppf(0.99, runs, alpha)
    assert naive > 0.5 * runs


def test_viewers_who_come_in_both_samples_are_compared_with_themselves() -> None:
    """A change too small between strangers shows among the same viewers, and no change is still none."""
    rng = np.random.default_rng(4)
    favourite, who = labels(rng, 400, [0.5, 0.5]), np.repeat(np.arange(400), 10)
    before, after = (np.where(rng.random(4000) < chance, favourite[who], 0) for chance in (0.9, 0.8))
    same = homogeneity((before, after), 2, (who, who)).p_value
    strangers = homogeneity((before, after), 2, (who, 400 + who)).p_value
    assert same is not None and strangers is not None
    assert same < 1e-4 < 0.03 < strangers
    unchanged = np.where(rng.random(4000) < 0.9, favourite[who], 0)
    assert (homogeneity((before, unchanged), 2, (who, who)).p_value or 0.0) > 0.05


def test_rare_labels_count_together() -> None:
    made = homogeneity((np.repeat([0, 1, 2, 4], [50, 42, 4, 4]), np.repeat([0, 1, 2, 4], [50, 42, 4, 4])), 5)
    assert made.cell.tolist() == [0, 1, 2, -1, 2]
    assert made.shares.tolist() == [[0.5, 0.42, 0.08]] * 2


def test_what_is_rare_in_all_is_tested_exactly() -> None:
    made = homogeneity((np.repeat([0, 1], [1998, 2]), np.repeat([0, 1], [90, 10])), 2)
    assert made.p_value == pytest.approx(binom.sf(9, 12, 100 / 2100))
    fewer = homogeneity((np.repeat([0, 1], [1950, 50]), np.zeros(100, int)), 2)
    assert fewer.p_value == 1.0
    both = homogeneity((np.repeat([0, 1, 2], [1000, 998, 2]), np.repeat([0, 1, 2], [45, 45, 10])), 3)
    assert both.p_value == pytest.approx(2 * binom.sf(9, 12, 100 / 2100))


def test_rare_labels_that_have_not_changed_are_flagged_at_most_at_the_stated_level() -> None:
    runs, flagged = 2000, 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        chances = [0.6, 0.38, 0.01, 0.01]
        made = homogeneity((labels(rng, 2000, chances), labels(rng, 60, chances)), 4)
        flagged += made.p_value is not None and made.p_value <= 0.05
    assert flagged <= binom.ppf(0.99, runs, 0.05)


def test_a_label_of_few_groups_is_rare_however_many_rows_they_have() -> None:
    """Three viewers with a thousand rows each are three draws."""
    many = np.concatenate([np.arange(100), np.repeat([0, 1, 2], 1000)])
    seen = np.concatenate([np.arange(100) % 2, np.full(3000, 2)])
    assert homogeneity((seen, seen[:100]), 3).p_value == 0.0
    assert homogeneity((seen, seen[:100]), 3, (many, 100 + many[:100])).p_value == 1.0


def test_nothing_can_be_told_of_rare_labels_alone_and_one_label_has_not_moved() -> None:
    assert homogeneity((np.arange(100), np.arange(100)), 100).p_value is None
    assert homogeneity((np.zeros(50, int), np.zeros(80, int)), 4).p_value == 1.0


def test_viewers_who_all_change_leave_no_variance_and_no_doubt() -> None:
    who = np.arange(40)
    assert homogeneity((np.zeros(40, int), np.ones(40, int)), 2, (who, who)).p_value == 0.0
    assert homogeneity((who % 2, who % 2), 2, (who, who)).p_value == 1.0


def test_effective_groups_are_fewer_when_some_are_large() -> None:
    assert effective_groups(np.full(20, 5.0)) == pytest.approx(20)
    assert effective_groups(np.array([8.0, 1.0, 1.0])) == pytest.approx(100 / 66)
