"""Vectors: the tests against scipy and plain loops, what they find, and how often nothing is called something."""

import itertools

import numpy as np
import pytest
from scipy.stats import binom, mannwhitneyu

from interest.drift.embeddings import EmbeddingDrift, Vectors, area_above_half, compare, permutation_mmd
from interest.errors import InvalidRecord


def one(reference: Vectors, current: Vectors, seed: int = 0, least: float = 0.05) -> EmbeddingDrift:
    (found,) = compare({"video": (reference, current)}, seed=seed, least=least)
    return found


def spread_out(rng: np.random.Generator, rows: int, width: int) -> np.ndarray:
    """Vectors that vary more along some axes than along others."""
    return rng.standard_normal((rows, width)) * 0.95 ** np.arange(width)


def viewers(rng: np.random.Generator, count: int, rows: int, first: int) -> Vectors:
    """Vectors of viewers that lie around each viewer's own; some come far more often."""
    own = rng.standard_normal((count, 12))
    who = rng.choice(count, rows, p=rng.dirichlet(np.full(count, 2.0)))
    return Vectors(own[who] + 0.5 * rng.standard_normal((rows, 12)), first + who)


def test_the_area_is_mann_whitneys_statistic_and_its_p_value_nearly_so() -> None:
    rng = np.random.default_rng(1)
    before, after = rng.normal(0, 1, 400).round(1), rng.normal(0.15, 1, 300).round(1)
    auc, p_value = area_above_half(before, after, (np.arange(400), 400 + np.arange(300)))
    expected = mannwhitneyu(after, before, alternative="greater")
    assert auc == pytest.approx(expected.statistic / 120_000)
    assert p_value == pytest.approx(expected.pvalue, rel=0.3)


def test_copies_of_rows_make_the_area_no_surer() -> None:
    rng = np.random.default_rng(2)
    before, after = rng.normal(0, 1, 80), rng.normal(0.3, 1, 60)
    groups = np.arange(80), 80 + np.arange(60)
    copied = area_above_half(
        np.repeat(before, 5), np.repeat(after, 5), (np.repeat(groups[0], 5), np.repeat(groups[1], 5))
    )
    assert copied == pytest.approx(area_above_half(before, after, groups))


def test_mmd_is_the_plain_sum_over_all_pairs() -> None:
    rng = np.random.default_rng(3)
    before, after = rng.standard_normal((15, 3)), rng.standard_normal((12, 3)) + 1.0
    pooled = [*before, *after]
    width = np.median([((a - b) ** 2).sum() for a, b in itertools.combinations(pooled, 2)])

    def mean(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
        return float(np.mean([np.exp(-((a - b) ** 2).sum() / width) for a, b in pairs]))

    squared = mean(list(itertools.permutations(before, 2))) + mean(list(itertools.permutations(after, 2)))
    squared -= 2 * mean(list(itertools.product(before, after)))
    mmd, p_value = permutation_mmd(before, after, rng, permutations=199)
    assert mmd == pytest.approx(np.sqrt(squared))
    assert p_value == 1 / 200


def test_the_p_value_of_mmd_is_its_rank_among_all_permutations() -> None:
    """So few rows that every way to deal them can be gone through."""
    rng = np.random.default_rng(4)
    before, after = rng.standard_normal((4, 2)), rng.standard_normal((3, 2)) + 0.8
    pooled = np.concatenate([before, after])
    distances = ((pooled[:, None] - pooled) ** 2).sum(-1)
    kernel = np.exp(-distances / np.median(distances[distances > 0]))
    ways = [np.where(np.isin(np.arange(7), chosen), 1 / 3, -1 / 4) for chosen in itertools.combinations(range(7), 3)]
    found = np.array([way @ kernel @ way for way in ways])
    exact = (found >= found[-1] - 1e-12).mean()
    assert permutation_mmd(before, after, rng, permutations=20_000)[1] == pytest.approx(exact, abs=0.015)


def test_vectors_that_did_not_change_are_called_drifted_at_most_at_the_stated_level() -> None:
    runs = 100
    flagged = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        flagged += one(Vectors(spread_out(rng, 120, 8)), Vectors(spread_out(rng, 150, 8)), seed, least=0.0).drifted
    assert flagged <= binom.ppf(0.99, runs, 0.05)


def test_viewers_who_did_not_change_are_called_drifted_at_most_at_the_stated_level() -> None:
    """Without their groups most runs would be, since vectors of a viewer are nearly the same."""
    runs = 60
    honest = naive = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        before, after = viewers(rng, 110, 600, 0), viewers(rng, 110, 600, 110)
        honest += one(before, after, seed, least=0.0).drifted
        if seed < 10:
            naive += one(Vectors(before.values), Vectors(after.values), seed, least=0.0).drifted
    assert honest <= binom.ppf(0.99, runs, 0.05)
    assert naive > 5


def test_the_same_viewers_again_are_no_drift() -> None:
    runs = 40
    flagged = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        both = viewers(rng, 150, 1200, 0)
        groups = both.groups
        assert groups is not None
        first, second = Vectors(both.values[:600], groups[:600]), Vectors(both.values[600:], groups[600:])
        flagged += one(first, second, seed, least=0.0).drifted
    assert flagged <= binom.ppf(0.99, runs, 0.05)


def test_a_mean_that_moves_is_found() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        after = rng.standard_normal((1000, 64))
        after[:, 3] += 0.9
        found = one(Vectors(rng.standard_normal((1000, 64))), Vectors(after), seed)
        assert found.drifted
        assert found.auc is not None and 0.6 < found.auc < 0.78, "at best .738 = Phi(.9 / sqrt 2)"


def test_a_rotation_that_moves_no_mean_is_found_by_either_test() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        turn = np.linalg.qr(rng.standard_normal((32, 32)))[0]
        found = one(Vectors(spread_out(rng, 1000, 32)), Vectors(spread_out(rng, 1000, 32) @ turn), seed)
        assert found.drifted
        assert found.auc is not None and found.auc > 0.8
        assert found.mmd_p is not None and found.mmd_p <= 0.025


def test_a_trifle_that_many_vectors_show_is_no_drift() -> None:
    rng = np.random.default_rng(6)
    after = rng.standard_normal((20_000, 4))
    after[:, 0] += 0.08
    found = one(Vectors(rng.standard_normal((20_000, 4))), Vectors(after))
    assert found.classifier_p is not None and found.classifier_p < 0.001
    assert not found.drifted


def test_the_same_seed_gives_the_same_answer_and_both_tests_are_paid_for() -> None:
    rng = np.random.default_rng(7)
    before, after = Vectors(spread_out(rng, 700, 16)), Vectors(spread_out(rng, 700, 16) + 0.03)
    assert one(before, after, 3, least=0.0) == one(before, after, 3, least=0.0) != one(before, after, 4, least=0.0)
    found = one(before, after, 3, least=0.0)
    assert found.classifier_p is not None and found.mmd_p is not None and found.auc is not None
    either = min(found.classifier_p if found.auc >= 0.5 else 1.0, found.mmd_p)
    assert found.corrected == pytest.approx(min(1.0, 2 * either))
    twice = compare({"a": (before, after), "b": (before, after)}, seed=3, least=0.0)
    assert twice[0].corrected == pytest.approx(min(1.0, 4 * either))


def test_constant_coordinates_and_constant_vectors_are_no_error() -> None:
    same = np.ones((150, 5))
    assert not one(Vectors(same), Vectors(same)).drifted
    assert one(Vectors(same), Vectors(2 * same)).drifted
    rng = np.random.default_rng(8)
    flat = np.hstack([rng.standard_normal((150, 2)), np.zeros((150, 2))])
    assert not one(Vectors(flat), Vectors(flat)).drifted


def test_too_few_vectors_or_viewers_are_said_to_be_too_few() -> None:
    rng = np.random.default_rng(9)
    few, many = Vectors(rng.standard_normal((99, 4))), Vectors(rng.standard_normal((500, 4)))
    assert one(many, few).words == "video: too few: 99 vectors in the current table; 100 are needed"
    assert one(Vectors(np.empty((0, 4))), many).corrected is None
    alike = Vectors(many.values, np.arange(500) % 20)
    assert "20 groups in the reference table" in one(alike, alike).words


@pytest.mark.parametrize(
    ("reference", "current", "message"),
    [
        (Vectors(np.ones((200, 4))), Vectors(np.ones((200, 5))), r"the current vectors are of shape \(200, 5\)"),
        (Vectors(np.ones(200)), Vectors(np.ones(200)), r"the reference vectors are of shape \(200,\)"),
        (Vectors(np.full((200, 4), np.nan)), Vectors(np.ones((200, 4))), "row 1 of the reference vectors is not"),
        (Vectors(np.ones((200, 4)), np.arange(200)), Vectors(np.ones((200, 4))), "both tables need groups"),
        (Vectors(np.ones((200, 4)), np.arange(9)), Vectors(np.ones((200, 4)), np.arange(200)), "each vector needs its"),
    ],
)  # fmt: skip
def test_vectors_that_cannot_be_compared_are_named(reference: Vectors, current: Vectors, message: str) -> None:
    with pytest.raises(InvalidRecord, match=message):
        one(reference, current)
