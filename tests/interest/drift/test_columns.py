"""Columns: distances by hand and by scipy, the sentence each gets, and how often nothing is called something."""

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binom, chi2_contingency, ks_2samp

from interest.drift.columns import ColumnDrift, compare
from interest.errors import InvalidRecord


def one(reference: object, current: object, **options: object) -> ColumnDrift:
    """The drift of a single column `x`."""
    (found,) = compare({"x": np.asarray(reference)}, {"x": np.asarray(current)}, **options)  # type: ignore[arg-type]
    return found


def tables(rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    gaps = rng.standard_normal(rows)
    gaps[rng.random(rows) < 0.2] = np.nan
    return {
        "normal": rng.standard_normal(rows),
        "heavy": rng.standard_cauchy(rows),
        "position": rng.integers(1, 6, rows).astype(float),
        "gaps": gaps,
        "flag": rng.random(rows) < 0.1,
        "level": np.array(list("abcdefgh"))[rng.choice(8, rows, p=np.arange(1, 9) / 36)],
    }


@pytest.mark.parametrize("seed", range(5))
def test_the_distance_of_numbers_is_kolmogorov_and_smirnovs_with_null_below_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    before, after = rng.normal(0, 1, 300).round(1), rng.normal(0.2, 2, 200).round(1)
    before[rng.random(300) < 0.1] = np.nan
    after[rng.random(200) < 0.2] = np.nan
    expected = ks_2samp(np.nan_to_num(before, nan=-99), np.nan_to_num(after, nan=-99)).statistic
    assert one(before, after).distance == pytest.approx(expected)


def test_levels_and_booleans_are_compared_by_pearsons_test_and_total_variation() -> None:
    found = one(np.repeat(["a", "b", "c"], [50, 30, 20]), np.repeat(["c", "b", "a"], [60, 60, 80]))
    assert found.p_value == pytest.approx(chi2_contingency([[50, 30, 20], [80, 60, 60]], correction=False).pvalue)
    assert found.distance == pytest.approx(0.1)
    assert found.shift is None
    flags = one(np.arange(100) < 30, np.arange(100) < 45)
    assert flags.distance == pytest.approx(0.15)
    assert flags.words == "x rose from 30.0% to 45.0%"
    assert one(np.ones(100, bool), np.zeros(100, bool)).words == "x fell from 100.0% to 0.0%"


def test_the_shift_is_in_standard_deviations_of_the_reference() -> None:
    found = one(np.tile([1.0, 3.0], 50), np.tile([2.0, 6.0], 50))
    assert found.shift == pytest.approx(2.0)
    assert found.words == "x rose by 2.00 standard deviations, mean 2 to 4"


@pytest.mark.parametrize(
    ("reference", "current", "words"),
    [
        (np.arange(100.0), np.arange(100.0) - 50, "x fell by 1.73 standard deviations, mean 49.5 to -0.5"),
        (np.arange(100.0) - 49.5, 3 * (np.arange(100.0) - 49.5), "x spreads wider, standard deviation 28.87 to 86.6"),
        (np.arange(100.0) - 49.5, (np.arange(100.0) - 49.5) / 3, "x spreads less, standard deviation 28.87 to 9.622"),
        (np.ones(100), np.full(100, 2.0), "x rose, mean 1 to 2"),
        (np.full(1000, 0.1), np.full(1000, 0.2), "x rose, mean 0.1 to 0.2"),
        (np.zeros(100), np.tile([-1.0, 1.0], 50), "x was one value and spreads now"),
        (np.tile([-1.0, 1.0], 50), np.linspace(-1.73, 1.73, 100), "x changed its shape: 29% of the rows lie elsewhere"),
        (np.ones(100), np.full(100, np.inf), "x has other values: 100% of the rows lie elsewhere"),
        (np.ones(100), np.where(np.arange(100) < 30, np.nan, 1.0), "nulls of x rose from 0.0% to 30.0%"),
        (np.full(100, np.nan), np.ones(100), "nulls of x fell from 100.0% to 0.0%"),
        (np.array(["a"] * 100), np.array(["a"] * 60 + [None] * 40, object), "x = 'a' fell from 100.0% to 60.0%"),
        (np.array(["a", "b"] * 50), np.array(["a", "b"] * 30 + [None] * 40, object), "nulls of x rose from 0.0% to 40"),
    ],
)  # fmt: skip
def test_what_moved_is_said_in_words(reference: np.ndarray, current: np.ndarray, words: str) -> None:
    found = one(reference, current)
    assert found.drifted
    assert found.words.startswith(words)


def test_no_change_is_called_drift_at_most_at_the_stated_level() -> None:
    runs, alpha = 300, 0.05
    flagged = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        found = compare(tables(rng, 400), tables(rng, 300), alpha=alpha, least=0.0)
        flagged += any(column.drifted for column in found)
    assert flagged <= binom.ppf(0.99, runs, alpha)
    assert flagged >= binom.ppf(0.001, runs, alpha), "so many tests that never flag see nothing"


def test_viewers_who_did_not_change_are_called_drifted_at_most_at_the_stated_level() -> None:
    """Rows of a viewer are alike; in both tables the same viewers (even seeds), or others (odd)."""
    runs, alpha = 200, 0.05
    honest = naive = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        both = []
        taste = rng.standard_normal((80, 2))
        for side in range(2):
            who = rng.choice(80, 800, p=rng.dirichlet(np.full(80, 2.0)))
            own = taste if seed % 2 == 0 else rng.standard_normal((80, 2))
            seen = own[who] + 0.7 * rng.standard_normal((800, 2))
            level = np.array(list("abcdef"))[np.digitize(seen[:, 1], [-1, -0.5, 0, 0.5, 1])]
            viewer = who + 80 * side * (seed % 2)
            both.append({"viewer": viewer, "number": seen[:, 0], "level": level, "flag": seen[:, 1] > 1})
        honest += any(column.drifted for column in compare(*both, groups="viewer", alpha=alpha, least=0.0))
        naive += any(
            column.drifted for column in compare(*both, ["number", "level", "flag"], alpha=alpha, least=0.0)
        )  # fmt: skip
    assert honest <= binom.ppf(0.99, runs, alpha)
    assert naive > 0.4 * runs


def changed(name: str, values: np.ndarray, rng: np.random.Generator, rows: int) -> bool:
    """Whether that column, and no other, is called drifted when it changes to `values`."""
    found = compare(tables(rng, rows), tables(rng, rows) | {name: values})
    return [column.name for column in found if column.drifted] == [name]


def test_a_mean_that_moves_by_a_fifth_of_a_standard_deviation_is_found_in_2000_rows() -> None:
    draws = [np.random.default_rng(seed) for seed in range(20)]
    assert sum(changed("normal", rng.normal(0.2, 1, 2000), rng, 2000) for rng in draws) >= 18


def test_a_spread_that_grows_by_half_is_found_in_2000_rows() -> None:
    draws = [np.random.default_rng(seed) for seed in range(20)]
    assert sum(changed("normal", rng.normal(0, 1.5, 2000), rng, 2000) for rng in draws) >= 18


def test_shares_of_levels_that_change_are_found_in_2000_rows() -> None:
    chances = np.array([9, 2, 3, 4, 5, 6, 7, 4]) / 40
    draws = [np.random.default_rng(seed) for seed in range(20)]
    levels = np.array(list("abcdefgh"))
    assert sum(changed("level", levels[rng.choice(8, 2000, p=chances)], rng, 2000) for rng in draws) >= 18


def test_nulls_that_become_more_are_found_in_2000_rows() -> None:
    def gone(rng: np.random.Generator) -> np.ndarray:
        values = rng.standard_normal(2000)
        values[rng.random(2000) < 0.3] = np.nan
        return values

    draws = [np.random.default_rng(seed) for seed in range(20)]
    assert sum(changed("gaps", gone(rng), rng, 2000) for rng in draws) >= 18


def test_a_trifle_is_significant_in_many_rows_and_still_no_drift() -> None:
    rng = np.random.default_rng(0)
    found = one(rng.standard_normal(100_000), rng.normal(0.04, 1, 100_000))
    assert found.corrected is not None and found.corrected < 1e-6
    assert found.distance == pytest.approx(0.016, abs=0.006)
    assert not found.drifted
    assert one(rng.standard_normal(100_000), rng.normal(0.04, 1, 100_000), least=0.005).drifted


def test_a_value_that_most_rows_have_hides_no_change_below_it() -> None:
    """Few rows are current, all zero, where there was only one: every decile is one."""
    for rows in (40, 300):
        found = one(np.ones(5000), np.zeros(rows))
        assert found.drifted and found.distance == 1.0


def test_a_level_that_a_large_reference_never_had_is_found_in_few_rows() -> None:
    found = one(np.array(["a", "b"] * 50_000), np.array(["a", "b", "new"] * 30))
    assert found.drifted
    assert found.words == "x = 'new' rose from 0.0% to 33.3%"


def test_p_values_are_corrected_for_the_number_of_columns() -> None:
    rng = np.random.default_rng(5)
    before, after = rng.standard_normal((2, 500))
    alone = one(before, after + 0.15)
    many = {f"c{number}": np.tile([True, False], 250) for number in range(9)}
    found = compare({"x": before, **many}, {"x": after + 0.15, **many})
    assert found[0].p_value == alone.p_value and alone.p_value is not None
    assert found[0].corrected == pytest.approx(min(1.0, 10 * alone.p_value))
    assert alone.distance is not None and alone.distance > 0.05
    assert one(before, after + 0.15, alpha=1.01 * alone.p_value).drifted
    assert not one(before, after + 0.15, alpha=0.99 * alone.p_value).drifted


def test_too_few_rows_are_said_to_be_too_few() -> None:
    for short, words in ((29, "29 rows in the current table"), (0, "0 rows in the current table")):
        found = one(np.arange(100.0), np.arange(float(short)))
        assert found.words == f"x: too few: {words}; 30 are needed"
        assert (found.p_value, found.distance, found.corrected, found.drifted) == (None, None, None, False)
    assert "and 0 rows in the current" in one(np.arange(0.0), np.arange(0.0)).words
    assert one(np.arange(30.0), np.arange(30.0)).p_value == 1.0


def test_many_rows_of_few_viewers_are_too_few() -> None:
    table = {"x": np.arange(1000.0), "viewer": np.arange(1000) % 29}
    (found,) = compare(table, table, groups="viewer")
    assert "29 groups in the reference table" in found.words


def test_levels_of_which_none_repeats_tell_nothing() -> None:
    ids = np.array([f"id-{number}" for number in range(200)])
    found = one(ids[:100], ids[100:])
    assert found.p_value is None and "too few rows of any one level" in found.words


@pytest.mark.parametrize(("levels", "each"), [(25, 40), (15, 100)])
def test_levels_that_are_all_as_frequent_are_compared(levels: int, each: int) -> None:
    before = np.repeat([f"c{number}" for number in range(levels)], each)
    after = np.repeat([f"d{number}" for number in range(levels)], each)
    assert one(before, after).drifted and one(before, after).distance == pytest.approx(1.0)
    assert one(before, before[::-1]).words == "x has not moved"


def test_constant_and_empty_columns_have_not_moved() -> None:
    for values in (np.ones(100), np.full(100, np.nan), np.array(["a"] * 100), np.array([None] * 100, object)):
        found = one(values, values)
        assert (found.p_value, found.distance, found.drifted, found.words) == (1.0, 0.0, False, "x has not moved")


def test_infinite_numbers_lie_at_the_ends() -> None:
    before = np.where(np.arange(200) < 40, -np.inf, np.arange(200.0))
    found = one(before, np.where(np.isinf(before), np.inf, before))
    assert found.distance == pytest.approx(0.2)
    assert found.shift == pytest.approx(0.0)


def test_whole_numbers_too_large_for_a_double_are_rounded() -> None:
    large = np.arange(100, dtype=np.int64) + 2**62
    assert one(large, large).distance == 0.0
    assert one(large.astype(np.uint64), large.astype(np.uint64) // 2).drifted


def test_a_column_that_one_table_lacks_is_null_there() -> None:
    full, less = {"x": np.arange(100.0), "y": np.array(["a", "b"] * 50)}, {"x": np.arange(100.0)}
    gone = {column.name: column for column in compare(full, less)}
    assert gone["y"].drifted and gone["y"].nulls == (0.0, 1.0)
    assert not gone["x"].drifted
    new = {column.name: column for column in compare(less, full)}
    assert new["y"].drifted and new["y"].nulls == (1.0, 0.0)


def test_arrow_tables_are_the_same_as_arrays() -> None:
    rng = np.random.default_rng(3)
    arrays = tables(rng, 300), tables(rng, 300)
    arrow = [pa.table({name: pa.array(values, from_pandas=True) for name, values in one.items()}) for one in arrays]
    arrow[0] = pa.concat_tables([arrow[0].slice(0, 100), arrow[0].slice(100)])
    for table in range(2):
        place = arrow[table].column_names.index("level")
        arrow[table] = arrow[table].set_column(place, "level", arrow[table]["level"].dictionary_encode())
    assert compare(*arrow) == compare(*arrays)
    assert compare(pa.table({"x": [Decimal(1)] * 40}), pa.table({"x": [Decimal(1)] * 40}))[0].p_value == 1.0


@pytest.mark.parametrize(
    ("reference", "current", "message"),
    [
        ({"x": np.ones(40)}, {"x": np.array(["1"] * 40)}, "column 'x' is double in the reference and string in"),
        ({"x": np.ones(40, bool)}, {"x": np.ones(40)}, "column 'x' is bool in the reference and double in the current"),
        ({"x": np.array([1, "a"] * 20, object)}, {"x": np.ones(40)}, "column 'x' of the reference table"),
        ({"x": np.ones((40, 2))}, {"x": np.ones(40)}, "column 'x' of the reference table"),
        ({"x": np.ones(40), "y": np.ones(39)}, {"x": np.ones(40)}, "'x': 40, 'y': 39"),
        (pa.table({"x": [[1.0]] * 40}), {"x": np.ones(40)}, "column 'x' of the reference table is list"),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_compared_are_named(reference: object, current: object, message: str) -> None:
    with pytest.raises(InvalidRecord, match=message):
        compare(reference, current)  # type: ignore[arg-type]


def test_unknown_columns_and_rows_without_a_group_are_named() -> None:
    table = {"x": np.ones(40), "viewer": np.array(["u", None] * 20, object)}
    with pytest.raises(InvalidRecord, match="no table has the column 'z'; they have x, viewer"):
        compare(table, table, ["z"])
    with pytest.raises(InvalidRecord, match="lacks the column 'user'"):
        compare(table, table, groups="user")
    with pytest.raises(InvalidRecord, match="'viewer' of the reference table: row 2 has no group"):
        compare(table, table, groups="viewer")
