"""The verdict over all that was tested: its level, its reasons, and what it could not tell."""

import msgspec
import numpy as np
import pytest
from scipy.stats import binom

from interest.drift.embeddings import Vectors
from interest.drift.verdict import Verdict, verdict
from interest.errors import InvalidSetting
from tests.interest.drift.worlds import log


def everything(before: dict[str, np.ndarray], after: dict[str, np.ndarray], seed: int, move: float = 0.0) -> Verdict:
    rng = np.random.default_rng([seed, 1])
    vectors = [Vectors(rng.standard_normal((150, 6)) + shift) for shift in (0.0, move)]
    return verdict(
        before, after, groups="viewer", embeddings={"video": (vectors[0], vectors[1])}, slices=["topic"],
        outcomes=["engaged"], seed=seed, least=0.0 if not move else 0.05,
    )  # fmt: skip


def test_nothing_new_is_called_drift_at_most_at_alpha_over_columns_vectors_and_slices_together() -> None:
    runs = 60
    flagged = sum(
        everything(log(2 * seed + 1, viewers=100), log(2 * seed + 2, viewers=100), seed).drifted for seed in range(runs)
    )
    assert flagged <= binom.ppf(0.99, runs, 0.05)


@pytest.mark.slow
def test_nothing_new_is_called_drift_at_most_at_alpha_in_many_runs() -> None:
    runs = 600
    flagged = sum(
        everything(log(2 * seed + 1, viewers=100), log(2 * seed + 2, viewers=100), seed).drifted for seed in range(runs)
    )
    assert flagged <= binom.ppf(0.99, runs, 0.05)


def test_each_kind_of_drift_gives_its_reason() -> None:
    after = log(2, fashion=3.0)
    after["length_s"] = after["length_s"] * 1.5
    found = everything(log(1), after, 0, move=1.0)
    assert found.drifted
    assert found.reasons[0].startswith("length_s rose by ")
    assert any(words.startswith("video: a classifier tells current vectors from") for words in found.reasons)
    assert any(words.startswith("where topic is t0: engaged fell from") for words in found.reasons)
    assert found.tests == 6 + 1 + 8
    assert not found.untested


def test_alpha_is_shared_by_what_is_tested() -> None:
    """A p-value between alpha and its half counts while columns are alone."""
    rows = np.arange(200)
    before, after = {"x": rows % 2 == 0, "y": rows < 999}, {"x": rows < 124, "y": rows < 999}
    alone = verdict(before, after, alpha=0.05)
    p = alone.columns[0].corrected
    assert p is not None and 0.025 < p <= 0.05, p
    assert alone.drifted
    vectors = Vectors(np.random.default_rng(0).standard_normal((100, 2)))
    assert not verdict(before, after, alpha=0.05, embeddings={"v": (vectors, vectors)}).drifted
    assert not verdict(before, after, alpha=0.05, slices=["y"], outcomes=["x"]).columns[0].drifted


def test_empty_tables_drift_nowhere_and_say_why() -> None:
    empty = {"x": np.empty(0), "y": np.empty(0, bool)}
    for before, after in ((empty, empty), ({"x": np.ones(50), "y": np.ones(50, bool)}, empty)):
        found = verdict(before, after)
        assert (found.drifted, found.tests, found.reasons) == (False, 0, ())
        assert [words.split(":")[1] for words in found.untested] == [" too few", " too few"]
    assert verdict({}, {}).tests == 0


def test_a_verdict_is_json_and_comes_back_the_same() -> None:
    found = everything(log(1, viewers=100), log(2, viewers=100), 0)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Verdict) == found
    infinite = verdict({"x": np.ones(50)}, {"x": np.full(50, np.inf)})
    assert msgspec.json.decode(msgspec.json.encode(infinite), type=Verdict) == infinite


def test_only_the_named_columns_are_tested() -> None:
    found = verdict(log(1), log(2), columns=["topic", "score"], groups="viewer")
    assert [column.name for column in found.columns] == ["topic", "score"]


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, float("nan")])
def test_a_level_outside_of_0_and_1_is_refused(alpha: float) -> None:
    with pytest.raises(InvalidSetting, match="alpha is"):
        verdict({}, {}, alpha=alpha)


def test_slices_need_outcomes() -> None:
    with pytest.raises(InvalidSetting, match="needed together"):
        verdict({}, {}, slices=["topic"])
