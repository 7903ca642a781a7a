import numpy as np
import pytest

from interest.drift.multiplicity import holm


def test_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


def test_what_could_not_be_tested_is_not_counted() -> None:
    assert holm([None, 0.02, None, 0.04]) == [None, pytest.approx(0.04), None, pytest.approx(0.04)]


def test_no_change_is_called_one_at_most_at_the_level_when_all_tests_say_the_same() -> None:
    """Wholly dependent tests, the worst that correlation can do."""
    draws = np.random.default_rng(0).random(2000)
    wrong = sum(min(holm([p] * 10)) <= 0.05 for p in draws.tolist())  # type: ignore[type-var]
    assert wrong / 2000 <= 0.05
