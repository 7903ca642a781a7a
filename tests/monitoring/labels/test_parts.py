"""The small parts: what is read of records, their time, tallies, settings."""

from __future__ import annotations

import pytest

from interest.records import Kind
from monitoring.labels import intake
from monitoring.labels.clamp import Clamp
from monitoring.labels.errors import InvalidLabelSettings
from monitoring.labels.joined import Joined, day_of
from monitoring.labels.settings import LabelSettings
from monitoring.labels.tallies import KEEP_MS, Tallies
from tests.monitoring.labels.stream import BEGIN_MS, Streams, encode, event, exposure
from wire.kafka import EVENTS, EXPOSURES, Record
from wire.observations import Commit


def record(value: bytes | None, key: bytes | None = b"u1", offset: int = 0, ts_ms: int = BEGIN_MS) -> Record:
    return Record(EVENTS, 0, offset, ts_ms, key, value)


def test_unknown_fields_are_passed_over() -> None:
    value = encode(event("r1", "e1", Kind.LIKE))[:-1] + b',"new":[1,{"a":2}]}'
    ((_, act),), rejected = intake.acts([record(value)])
    assert (act.request_id, act.kind, rejected) == ("r1", Kind.LIKE, [])


@pytest.mark.parametrize(
    ("value", "key", "reason"),
    [
        (None, b"u1", "no value"),
        (b"", b"u1", "truncated"),
        (b"\xff", b"u1", "malformed"),
        (b"{}", b"u1", "missing required field"),
        (encode(event("r1", "e1")), b"u2", "is not the user_id"),
        (encode(event("r1", "e1")), None, "is not the user_id"),
        (encode(event("r1", "")), b"u1", "length >= 1"),
        (encode(event("r1", "x" * 513)), b"u1", "length <= 512"),
        (encode(event("r1", "e1", ts_ms=-1)), b"u1", ">= 0"),
        (encode(event("r1", "e1", ts_ms=BEGIN_MS + 300_001)), b"u1", "ahead of the record"),
        (encode(event("r1", "e1")).replace(b'"impression"', b'"nod"'), b"u1", "Invalid enum value"),
    ],
)
def test_records_that_are_no_event_are_told_with_their_reason(
    value: bytes | None, key: bytes | None, reason: str
) -> None:
    good = record(encode(event("r1", "e1")))
    taken, ((bad, why),) = intake.acts([good, record(value, key, 1), good])
    assert [one.event_id for _, one in taken] == ["e1", "e1"]
    assert bad.offset == 1
    assert reason in why


@pytest.mark.parametrize(
    "more", [{"scores": (0.5,)}, {"latency_ms": -1.0}, {"propensity": 1.5}, {"unknown": 2**31}, {"ts_ms": -1}]
)
def test_exposures_that_make_no_sense_are_rejected(more: dict[str, object]) -> None:
    streams = Streams()
    value = encode(exposure("r1", **more))  # type: ignore[arg-type]
    streams.add_raw(EXPOSURES, b"u1", value)
    joined = Joined(LabelSettings(), Commit(seq=0, writer="", window_ms=600_000), 1)
    joined.take(0, streams.records[EXPOSURES], BEGIN_MS)
    assert (joined.counts.rejected, joined.open_requests) == (1, 0)


def test_records_from_the_future_happened_now_also_when_they_are_read_again() -> None:
    now_ms = BEGIN_MS + 500
    records = [
        record(None, offset=n, ts_ms=ms) for n, ms in enumerate([BEGIN_MS, BEGIN_MS + 60_000, BEGIN_MS + 60_001])
    ]
    clamp = Clamp()
    times = clamp.times(records, now_ms)
    assert times == [BEGIN_MS, BEGIN_MS + 60_000, BEGIN_MS]
    assert clamp.clamped == 1
    again = Clamp(clamp.ranges, read=3)
    assert again.times(records, now_ms + 10**6) == times
    assert again.times([record(None, offset=3, ts_ms=BEGIN_MS + 60_001)], now_ms + 10**6) == [BEGIN_MS + 60_001]


def test_ranges_of_the_same_second_are_one_and_are_forgotten() -> None:
    clamp = Clamp()
    for offset in range(50):
        clamp.times([record(None, offset=offset, ts_ms=BEGIN_MS + 10**6)], BEGIN_MS + 10 * offset)
    assert clamp.ranges == [(0, 49, BEGIN_MS)]
    clamp.forget(50)
    assert clamp.ranges == []


def test_clamped_exposures_are_written_once_over_a_restart() -> None:
    streams, settings = Streams(), LabelSettings(window_ms=1000, slack_ms=0)
    streams.add(exposure("open"), BEGIN_MS + 5000)
    streams.add(exposure("future"), BEGIN_MS + 10**9)
    records = streams.records[EXPOSURES]
    joined = Joined(settings, Commit(seq=0, writer="", window_ms=1000), 1)
    joined.take(0, records, BEGIN_MS)
    joined.partitions[0].at_end(1, BEGIN_MS + 2000)
    joined.partitions[0].at_end(0, BEGIN_MS + 2000)
    made = joined.close(BEGIN_MS + 2000, {0: (2, 0)}, lambda _: None)
    assert made is not None
    assert made.commit.counters["rows"] == made.commit.counters["clamped"] == 1
    assert made.commit.places[0].replay == (0, 0)
    again = Joined(settings, made.commit, 1)
    again.take(0, records, BEGIN_MS + 10**9)
    assert again.open_requests == 1


def test_tallies_sum_and_are_forgotten_a_week_after_the_last_exposure() -> None:
    tallies = Tallies({})
    streams = Streams()
    streams.add(exposure("r1", experiment="e", ts_ms=50, latency_ms=3.0, failed=True, unknown=1), BEGIN_MS)
    streams.add(exposure("r2", experiment="e", ts_ms=20, latency_ms=4.0), BEGIN_MS + 1)
    streams.add(exposure("r3", experiment=None), BEGIN_MS + 2)
    for _, asked in intake.asked(streams.records[EXPOSURES])[0]:
        tallies.count(asked, 3, BEGIN_MS)
    arm = tallies.snapshot(BEGIN_MS)["e"]["stable"]
    assert (arm.requests, arm.failed, arm.unknown, arm.candidates) == (2, 1, 1, 6)
    assert (arm.latency_ms, arm.latency_ms_squared, arm.first_ms, arm.last_ms) == (7.0, 25.0, 20, 50)
    assert tallies.moved
    assert "e" in tallies.snapshot(BEGIN_MS + KEEP_MS)
    assert tallies.snapshot(BEGIN_MS + KEEP_MS + 1) == {}


def test_days_are_of_the_calendar_whatever_a_record_says() -> None:
    assert day_of(0) == day_of(-(10**15)) == "1970-01-01"
    assert day_of(1_700_000_000_000) == "2023-11-14"
    assert day_of(2**53) == "9999-12-31"


def test_settings_have_defaults_and_name_what_is_wrong() -> None:
    assert LabelSettings.from_env({}) == LabelSettings(600_000, 10_000, 2.0, 10.0, 90.0)
    assert LabelSettings.from_env({"RAPT_LABEL_WINDOW_S": "1.5"}).window_ms == 1500
    with pytest.raises(InvalidLabelSettings, match="RAPT_LABEL_SLACK_S='soon' is not a number"):
        LabelSettings.from_env({"RAPT_LABEL_SLACK_S": "soon"})
    for value in ("-1", "0", "nan", "inf"):
        with pytest.raises(InvalidLabelSettings, match="RAPT_LABEL_WINDOW_S"):
            LabelSettings.from_env({"RAPT_LABEL_WINDOW_S": value})
