"""Slices: each is a column test of its own rows, and the one that moved comes first."""

import numpy as np
import pytest
from scipy.stats import binom

from interest.drift import columns
from interest.drift.multiplicity import holm
from interest.drift.slices import compare
from tests.interest.drift.worlds import log


@pytest.mark.parametrize("seed", range(3))
def test_the_topic_that_went_out_of_fashion_is_found_where_all_that_is_shown_stays(seed: int) -> None:
    before, after = log(2 * seed + 1), log(2 * seed + 2, fashion=2.0)
    shown = columns.compare(before, after, ["topic", "length_s", "position"], groups="viewer")
    assert not any(column.drifted for column in shown)
    worst = compare(before, after, ["topic"], ["engaged"], groups="viewer")[0]
    assert (worst.by, worst.level, worst.outcome.name, worst.outcome.drifted) == ("topic", "t0", "engaged", True)
    assert worst.words.startswith("where topic is t0: engaged fell from ")


def test_viewers_of_an_unchanged_world_are_flagged_at_most_at_the_stated_level() -> None:
    runs = 60
    flagged = 0
    for seed in range(runs):
        found = compare(
            log(2 * seed + 1001, viewers=100),
            log(2 * seed + 1002, viewers=100),
            ["topic", "position"],
            ["engaged", "watch_ms"],
            groups="viewer",
            least=0.0,
        )
        flagged += any(one.outcome.drifted for one in found)
    assert flagged <= binom.ppf(0.99, runs, 0.05)


def test_each_slice_is_the_column_test_of_its_rows_corrected_for_all() -> None:
    before, after = log(1), log(2, fashion=1.0)
    found = compare(before, after, ["topic"], ["engaged", "score"], groups="viewer")
    assert len(found) == 2 * 8
    for one in found:
        rows = [
            {name: column[table["topic"] == one.level] for name, column in table.items()} for table in (before, after)
        ]
        alone = columns.compare(*rows, [one.outcome.name], groups="viewer")[0]
        assert one.outcome.p_value == pytest.approx(alone.p_value)
        assert one.outcome.distance == alone.distance
    assert [one.outcome.corrected for one in found] == holm([one.outcome.p_value for one in found])
    drifted = [one.outcome.drifted for one in found]
    assert drifted == sorted(drifted, reverse=True)
    distances = [one.outcome.distance or 0.0 for one in found if one.outcome.drifted]
    assert distances == sorted(distances, reverse=True)


def test_numbers_are_sliced_at_the_references_quartiles_and_nulls_are_a_slice() -> None:
    age = np.tile([1.0, 2.0, 3.0, 4.0, np.nan], 100)
    before = {"age_h": age, "engaged": np.tile([True, False], 250)}
    after = {"age_h": np.append(age[:-1], 99.0), "engaged": np.tile([True, False], 250)}
    found = {one.level: one.outcome.rows for one in compare(before, after, ["age_h"], ["engaged"])}
    assert found == {
        "up to 2": (200, 200),
        "over 2 to 3": (100, 100),
        "over 3 to 4": (100, 100),
        "over 4": (0, 1),
        "null": (100, 99),
    }


def test_slices_with_too_few_rows_come_last_and_say_so() -> None:
    topic = np.array(["a"] * 95 + ["b"] * 5)
    table = {"topic": topic, "engaged": np.tile([True, False], 50)}
    found = compare(table, table, ["topic"], ["engaged"])
    assert [one.level for one in found] == ["a", "b"]
    assert found[1].outcome.p_value is None
    assert found[1].words.startswith("where topic is b: engaged: too few: 5 rows in the reference table")


def test_an_outcome_is_not_sliced_by_itself() -> None:
    table = {"engaged": np.tile([True, False], 50), "arm": np.array(["a", "b"] * 50)}
    assert {one.by for one in compare(table, table, ["engaged", "arm"], ["engaged"])} == {"arm"}
