"""The canonical events table: what is read, sorted, refused, rejected and counted."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interest.catalog import Catalog
from interest.datasets import events
from interest.errors import InvalidRecord
from interest.records import Event, Kind, Video

HEADER = "event_id,user_id,video_id,request_id,ts_ms,kind,watch_ms,position,randomised\n"
GOOD = "e1,u,v,r,1000,impression,0,1,false\ne2,u,v,r,2000,watch,900,1,false\n"


def event(event_id: str, ts_ms: int, **changes: object) -> Event:
    fields = {
        "user_id": "u",
        "video_id": "v",
        "request_id": "r",
        "kind": Kind.WATCH,
        "watch_ms": 5,
        **changes,
    }
    return Event(event_id=event_id, ts_ms=ts_ms, **fields)  # type: ignore[arg-type]


def catalog(*ids: str) -> Catalog:
    return Catalog(tuple(Video(video_id=name, uri="", duration_s=1.0) for name in ids))


def csv(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_written_is_read_back_sorted_by_time_and_id(tmp_path: Path) -> None:
    rows = [event("b", 5), event("c", 4, randomised=True, position=3), event("a", 5, kind=Kind.LIKE)]
    events.write_events(tmp_path / "events.parquet", events.from_records(rows))
    table = events.read_events(tmp_path / "events.parquet")
    assert table.schema.equals(events.SCHEMA)
    assert events.to_records(table) == [rows[1], rows[2], rows[0]]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_holds_the_same_rows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"log{suffix}"
    table = events.from_records([event("e1", 1000, kind=Kind.IMPRESSION, watch_ms=0), event("e2", 2000)])
    if suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
    elif suffix == ".jsonl":
        import msgspec

        path.write_bytes(b"\n".join(msgspec.json.encode(row) for row in events.to_records(table)))
    else:
        mark = "," if suffix == ".csv" else "\t"
        lines = [table.column_names, *([str(v) for v in row.values()] for row in table.to_pylist())]
        path.write_text("\n".join(mark.join(line) for line in lines), encoding="utf-8")
    assert events.read_events(path).equals(table)


def test_columns_with_defaults_may_be_absent_or_empty(tmp_path: Path) -> None:
    short = csv(tmp_path, "event_id,user_id,video_id,request_id,ts_ms,kind,watch_ms\ne1,u,v,r,1,impression,\n")
    assert events.to_records(events.read_events(short)) == [
        Event(
            event_id="e1",
            user_id="u",
            video_id="v",
            request_id="r",
            ts_ms=1,
            kind=Kind.IMPRESSION,
            watch_ms=0,
        )
    ]


def test_ids_may_be_whole_numbers(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    table = events.from_records([event("1", 1, user_id="7")]).to_pydict()
    table["user_id"] = [7]
    pyarrow.parquet.write_table(pa.table(table), path)
    assert events.read_events(path)["user_id"].to_pylist() == ["7"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("e3,u,v,r,3000,watch,-5,1,false", "log.csv column 'watch_ms' row 3: '-5' is negative"),
        ("e3,u,v,r,3000,watch,abc,1,false", "column 'watch_ms' row 3: 'abc' is not a whole number"),
        ("e3,u,v,r,3000,watch,1.5,1,false", "column 'watch_ms' row 3: '1.5' is not a whole number"),
        ("e3,u,v,r,3000,watch,true,1,false", "column 'watch_ms' row 3: 'true' is not a whole number"),
        ("e3,u,v,r,3000,watch,99999999999999999999,1,false", "row 3: '99999999999999999999' is not a whole"),
        ("e3,u,v,r,,watch,5,1,false", "column 'ts_ms' row 3: None is not a whole number"),
        ("e3,u,v,r,3000,stare,5,1,false", "column 'kind' row 3: 'stare' is none of impression, watch"),
        ("e3,u,v,r,-1,watch,5,1,false", "column 'ts_ms' row 3: '-1' is no time"),
        ("e3,u,v,r,1650485801301000,watch,5,1,false", "column 'ts_ms' row 3: '1650485801301000' is no time"),
        ("e3,u,v,r,3000,watch,5,0,false", "column 'position' row 3: '0' is below 1"),
        ("e3,u,v,r,3000,watch,5,1,maybe", "column 'randomised' row 3: 'maybe' is not true or false"),
        ("e3,,v,r,3000,watch,5,1,false", "column 'user_id' row 3: None is not text"),
    ],
)
def test_a_bad_row_is_named_and_rejected_alone(tmp_path: Path, line: str, reason: str) -> None:
    path = csv(tmp_path, HEADER + GOOD + line + "\n")
    with pytest.raises(InvalidRecord) as raised:
        events.read_events(path)
    assert reason in str(raised.value)
    validated = events.validate_events(events.load_events(path))
    assert validated.table["event_id"].to_pylist() == ["e1", "e2"]
    assert [row.item for row in validated.rejected] == ["e3"]
    assert validated.rejected[0].reason in str(raised.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "log.csv is empty"),
        ("event_id,user_id,video_id,request_id,kind\n", "lacks the column 'ts_ms'"),
        (HEADER.replace("watch_ms", "watchms") + GOOD, "has the column 'watchms', which events do not have"),
        (HEADER + GOOD + "e3,u\n", "row 3 has 2 cells, not 9"),
        (HEADER.replace("user_id", "event_id"), "has the column 'event_id' twice"),
    ],
)
def test_a_file_that_is_no_events_file_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(InvalidRecord, match=reason):
        events.load_events(csv(tmp_path, text))


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("watch_ms", pa.array([True]), "column 'watch_ms' is bool, not a whole number"),
        ("ts_ms", pa.array([0], pa.timestamp("us")), "is timestamp.us., not a whole number .milliseconds"),
        ("user_id", pa.array([1.0]), "column 'user_id' is double, not text"),
        ("kind", pa.array([1]), "column 'kind' is int64, not text"),
        ("randomised", pa.array([0.0]), "column 'randomised' is double, not true or false"),
    ],
)
def test_a_column_of_the_wrong_type_is_refused(column: str, values: pa.Array, reason: str) -> None:
    table = events.from_records([event("e", 1)]).to_pydict()
    with pytest.raises(InvalidRecord, match=reason):
        events.validate_events(pa.table({**table, column: values}))


def test_nan_in_a_column_of_floats_is_rejected_and_whole_floats_are_taken() -> None:
    table = events.from_records([event("a", 1), event("b", 2), event("c", 3)]).to_pydict()
    table["watch_ms"] = pa.array([5.0, float("nan"), 2.5])
    validated = events.validate_events(pa.table(table))
    assert validated.table["watch_ms"].to_pylist() == [5]
    assert [(row.item, "nan" in row.reason or "2.5" in row.reason) for row in validated.rejected] == [
        ("b", True),
        ("c", True),
    ]


def test_jsonl_with_mixed_types_rejects_only_the_odd_row(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    stem = '"user_id":"u","video_id":"v","request_id":"r","ts_ms":1,"kind":"watch"'
    path.write_text("".join(f'{{"event_id":"{i}",{stem},"watch_ms":{w}}}\n' for i, w in enumerate(("3", "true"))))
    validated = events.validate_events(events.load_events(path))
    assert validated.table["watch_ms"].to_pylist() == [3]
    assert "'true' is not a whole number" in validated.rejected[0].reason
    path.write_text('{"event_id":"1"}\n{oops\n')
    with pytest.raises(InvalidRecord, match=r"log.jsonl line 2"):
        events.load_events(path)


def test_events_on_unknown_videos_and_repeated_ids_are_rejected_and_counted() -> None:
    rows = [event("a", 9), event("b", 3, video_id="gone"), event("a", 2), event("c", 1), event("d", 10)]
    validated = events.validate_events(events.from_records(rows), catalog("v"))
    assert [(row.event_id, row.ts_ms) for row in events.to_records(validated.table)] == [
        ("c", 1),
        ("a", 2),
        ("d", 10),
    ]
    assert {row.item: row.reason for row in validated.rejected} == {
        "b": "column 'video_id' row 2: 'gone' is not in the catalogue",
        "a": "column 'event_id' row 1: 'a' repeats an event_id: the earliest row stays",
    }
    assert validated.counts == {
        "rows": 5,
        "kept": 3,
        "rejected": 2,
        "out_of_order": 1,
        "rejected: video_id is not in the catalogue": 1,
        "rejected: event_id repeats an event_id: the earliest row stays": 1,
    }


def test_many_rows_with_one_reason_are_listed_once_and_counted() -> None:
    rows = [event(f"e{i}", i, video_id="gone") for i in range(events.LISTED + 7)]
    validated = events.validate_events(events.from_records(rows), catalog("v"))
    assert len(validated.rejected) == events.LISTED + 1
    assert validated.rejected[-1].item == "7 more rows"


def test_an_empty_table_is_valid() -> None:
    validated = events.validate_events(events.from_records([]), catalog("v"))
    assert len(validated.table) == 0
    assert validated.counts == {"rows": 0, "kept": 0, "rejected": 0, "out_of_order": 0}


def test_write_refuses_a_bad_row(tmp_path: Path) -> None:
    with pytest.raises(InvalidRecord, match="column 'watch_ms' row 1: -1 is negative"):
        events.write_events(tmp_path / "x.parquet", events.from_records([event("a", 1, watch_ms=-1)]))


ROWS = st.lists(
    st.builds(
        event,
        st.sampled_from("abcdefgh"),
        st.integers(-1, 6),
        video_id=st.sampled_from(["v", "w", "gone", ""]),
        watch_ms=st.integers(-1, 3),
        position=st.integers(0, 2),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, seed=st.integers(0, 9))
def test_validation_agrees_with_a_row_by_row_account(rows: list[Event], seed: int) -> None:
    validated = events.validate_events(events.from_records(rows), catalog("v", "w"))
    fit = [r for r in rows if r.ts_ms >= 0 and r.watch_ms >= 0 and r.position >= 1 and r.video_id in ("v", "w")]
    expected: list[Event] = []
    for row in sorted(fit, key=lambda r: (r.ts_ms, r.event_id)):
        if row.event_id not in {seen.event_id for seen in expected}:
            expected.append(row)
    assert events.to_records(validated.table) == expected
    assert validated.counts["kept"] + validated.counts["rejected"] == len(rows)
    unique = {row.event_id: row for row in rows}
    shuffled = list(unique.values())
    random.Random(seed).shuffle(shuffled)
    again = events.validate_events(events.from_records(shuffled), catalog("v", "w")).table
    assert again.equals(events.validate_events(events.from_records(unique.values()), catalog("v", "w")).table)
    assert events.validate_events(again).table.equals(again)
