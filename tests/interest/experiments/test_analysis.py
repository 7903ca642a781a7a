from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from interest.errors import InvalidRecord
from interest.experiments.analysis import Analysis
from interest.experiments.foreign import Columns, Meaning, read
from interest.experiments.spec import Spec

SPEC = Spec(candidate="b" * 64, window="10s")
START = 1_000_000


def observations(seed: int = 0, requests: int = 6000, lift: float = 0.1) -> pa.Table:
    """Three videos a request; every tenth request has no label; arms by a coin that a viewer keeps."""
    rng = np.random.default_rng(seed)
    viewer = rng.integers(0, 1500, requests)
    arm = rng.random(1500) < 0.5
    rows = []
    for number, user in enumerate(viewer.tolist()):
        candidate = bool(arm[user])
        common = {
            "experiment": "x" if number % 7 else "other", "user_id": f"u{user}",
            "arm": "candidate" if candidate else "stable", "propensity": 0.5,
            "logged_ms": START + number * 10, "baseline": 0.4, "latency_ms": 3.0 + candidate, "unknown": int(candidate),
            "candidates": 10, "request_id": f"r{number}",
        }  # fmt: skip
        if number % 10 == 0:
            rows.append({**common, "score": None, "engaged": None})
        for _ in range(3 if number % 10 else 0):
            engaged = bool(rng.random() < 0.4 + lift * candidate)
            rows.append({**common, "score": 0.4, "engaged": engaged})
    return pa.Table.from_pylist(rows)


def test_what_it_says_does_not_depend_on_how_the_observations_came() -> None:
    table = observations()
    whole, pieces = Analysis("x", SPEC, START), Analysis("x", SPEC, START)
    whole.feed(table)
    whole.close(START + 60_000)
    order = np.random.default_rng(3).permutation(table.num_rows)
    for number, part in enumerate(np.array_split(order, 40)):
        pieces.feed(table.take(pa.array(part)))
        pieces.close(START + 5_000 * (number == 39))
    for complete in range(START, START + 60_001, 1700):
        pieces.close(complete)
    pieces.close(START + 60_000)
    assert whole.statistics() == pieces.statistics()
    assert whole.data_ms == START + 60_000


def test_the_statistics_are_those_of_the_rows() -> None:
    table = observations()
    analysis = Analysis("x", SPEC, START)
    analysis.feed(table)
    assert analysis.close(START + 59_999) == 5
    assert analysis.close(START + 60_000) == 1
    found = analysis.statistics()
    mine = [row for row in table.to_pylist() if row["experiment"] == "x"]
    users = {arm: {row["user_id"] for row in mine if row["arm"] == arm} for arm in ("stable", "candidate")}
    assert found.viewers == (len(users["stable"]), len(users["candidate"]))
    asked = {row["request_id"] for row in mine if row["arm"] == "stable"}
    labelled = {row["request_id"] for row in mine if row["arm"] == "stable" and row["engaged"] is not None}
    assert found.coverage[0] == pytest.approx(len(labelled) / len(asked), abs=1e-4)
    assert found.stable.requests == len(asked)
    assert found.primary.effect == pytest.approx(0.1, abs=0.03)
    rails = {str(metric): estimate.effect for metric, estimate in found.guardrails.items()}
    assert rails["latency"] == pytest.approx(1.0, abs=0.01)
    assert rails["fallbacks"] == pytest.approx(0.1, abs=0.01)
    assert rails["calibration"] == pytest.approx(-0.1, abs=0.03)
    assert not found.sample_ratio.broken


def test_what_comes_before_it_began_or_belongs_to_a_closed_window_is_passed_over() -> None:
    table = observations()
    late, early = Analysis("x", SPEC, START + 30_000), Analysis("x", SPEC, START)
    late.feed(table)
    late.close(START + 60_000)
    early.close(START + 30_000)
    early.feed(table)
    early.close(START + 60_000)
    assert late.statistics().viewers == early.statistics().viewers


def test_hours_without_a_viewer_take_no_time_and_change_nothing() -> None:
    analysis = Analysis("x", SPEC, START)
    analysis.close(START + 10**11)
    assert analysis.data_ms == START + 10**11
    assert analysis.statistics().primary.effect is None


def csv(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_foreign_test_with_events_counts_those_that_follow_in_time_and_are_of_the_kinds(tmp_path: Path) -> None:
    exposures = csv(
        tmp_path / "e.csv", "user_id,arm,ts_ms\na,stable,1000\nb,candidate,1000\nc,stable,1000\nd,candidate,1000\n"
    )
    events = csv(
        tmp_path / "v.csv", "user_id,ts_ms,kind\na,1500,like\nb,2500,like\nc,1500,view\nd,999,like\nd,2000,like\n"
    )
    found = read(exposures, events, Columns(), Meaning(share=0.5, kinds=("like",), within_ms=1000))
    assert found.table["engaged"].to_pylist() == [1.0, 0.0, 0.0, 1.0]
    assert not found.assumed


def test_a_foreign_test_joins_by_request_where_both_have_it(tmp_path: Path) -> None:
    exposures = csv(
        tmp_path / "e.csv",
        "user_id,arm,ts_ms,request_id\na,stable,2026-01-01T00:00:00Z,r1\nb,candidate,2026-01-02,r2\n",
    )
    events = csv(tmp_path / "v.csv", "request_id\nr2\n")
    found = read(exposures, events, Columns(), Meaning())
    assert found.table["engaged"].to_pylist() == [0.0, 1.0]
    assert (found.end_ms - found.begin_ms, found.share, found.assumed) == (86_400_000, 0.5, True)


def test_exposures_without_a_request_are_joined_to_nothing(tmp_path: Path) -> None:
    exposures = csv(tmp_path / "e.csv", "user_id,arm,ts_ms,request_id\na,stable,1,\nb,candidate,1,\nc,stable,1,r3\n")
    events = csv(tmp_path / "v.csv", "request_id,user_id\n,z\nr3,c\n")
    found = read(exposures, events, Columns(), Meaning(share=0.5))
    assert found.table["engaged"].to_pylist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_may_be_finer_than_milliseconds(tmp_path: Path, unit: str) -> None:
    moments = pa.array([1_767_225_600_123_456_789 // 10**9, 1_767_225_601], pa.timestamp("s")).cast(pa.timestamp(unit))
    pq.write_table(
        pa.table({"user_id": ["a", "b"], "arm": ["stable", "candidate"], "ts_ms": moments, "engaged": [0, 1]}),
        tmp_path / "e.parquet",
    )
    found = read(tmp_path / "e.parquet", None, Columns(), Meaning())
    assert (found.begin_ms, found.end_ms) == (1_767_225_600_000, 1_767_225_601_000)
    text = "user_id,arm,ts_ms,engaged\na,stable,2026-01-01T00:00:00.123456,0\nb,candidate,2026-01-01T00:00:01Z,1\n"
    assert read(csv(tmp_path / "e.csv", text), None, Columns(), Meaning()).begin_ms == 1_767_225_600_123


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("user_id,arm,ts_ms,engaged\na,stable,2026-01-01T00:00:00,1\nb,candidate,,1\n", "row 2 is empty"),
        ("user_id,arm,ts_ms,engaged\na,stable,1767225600000000,1\n", "after the year 9999"),
        ("user_id,arm\na,stable\n", "ts_ms"),
        ("user_id,arm,ts_ms,engaged\na,B,1,1\n", "'B'"),
        ("user_id,arm,ts_ms,engaged\na,stable,tomorrow,1\n", "ts_ms"),
        ("user_id,arm,ts_ms,engaged\na,stable,1,maybe\n", "engaged"),
        ("user_id,arm,ts_ms,engaged,propensity\na,stable,1,1,1\n", "propensity"),
        ("user_id,arm,ts_ms,engaged\na,stable,1,1\n", "one arm"),
        ("user_id,arm,ts_ms,engaged\n", "no rows"),
    ],
)
def test_what_is_wrong_with_a_foreign_file_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(InvalidRecord, match=named):
        read(csv(tmp_path / "e.csv", text), None, Columns(), Meaning())
