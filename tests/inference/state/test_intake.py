"""Records become the same rows whether they are taken in all at once or one by one."""

import struct

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.state import intake
from inference.state.intake import LARGEST_SKEW_MS, Intake, take_in
from interest.records import Event, Kind
from interest.viewer_rows import ROW, row, user_key
from tests.inference.state.streams import BEGIN_MS, Topic, encode, event

BROKEN = (b"", b"{", b"null", b"[1]", b"\xff", b'{"event_id":1}', None)
ids = st.text(st.characters(codec="utf-8"), min_size=0, max_size=8)
numbers = st.integers(-(2**65), 2**65) | st.integers(-5, 70_000)
events = st.builds(
    Event,
    event_id=ids,
    user_id=ids,
    video_id=ids,
    request_id=ids,
    ts_ms=st.integers(BEGIN_MS - 10, BEGIN_MS + LARGEST_SKEW_MS + 10) | numbers,
    kind=st.sampled_from(Kind),
    watch_ms=numbers,
    position=numbers,
)


def same(one: Intake, other: Intake) -> None:
    assert one.rows.tobytes() == other.rows.tobytes()
    assert list(one.users) == list(other.users)
    assert list(one.records) == list(other.records)
    for name in ("high", "low", "partition", "offset"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    assert (one.impressions, one.rejected) == (other.impressions, other.rejected)


@given(st.lists(events, min_size=1, max_size=8), st.data())
def test_all_at_once_and_one_by_one_agree(batch: list[Event], data: st.DataObject) -> None:
    topic = Topic()
    for one in batch:
        try:
            value = encode(one)
        except OverflowError:  # msgspec writes no integer over 64 bits
            continue
        if data.draw(st.integers(0, 20)) == 0:
            value = data.draw(st.sampled_from(BROKEN))
        topic.add_raw(one.user_id.encode(), value)
    same(take_in(topic.records), intake._one_by_one(topic.records))


def test_a_good_batch_goes_the_quick_way_and_gives_the_rows_of_the_definition() -> None:
    topic = Topic()
    batch = [event(f"u{number}", BEGIN_MS + number, f"e{number}", watch_ms=10**12, position=-3) for number in range(9)]
    for one in batch:
        topic.add(one)
    quick = intake._columns(topic.records)
    assert quick is not None
    assert quick.rows.tobytes() == np.array([row(one) for one in batch], ROW).tobytes()
    assert (quick.high[3], quick.low[3]) == struct.unpack(">QQ", user_key(b"u3"))


@pytest.mark.parametrize(("ahead_ms", "accepted"), [(LARGEST_SKEW_MS, True), (LARGEST_SKEW_MS + 1, False)])
def test_an_event_may_be_five_minutes_ahead_of_its_record(ahead_ms: int, *, accepted: bool) -> None:
    topic = Topic()
    topic.add(event("u", BEGIN_MS + ahead_ms), BEGIN_MS)
    found = take_in(topic.records)
    assert len(found.rows) == accepted
    assert [reason for _, reason in found.rejected] == [
        f"ts_ms {BEGIN_MS + ahead_ms} is {ahead_ms / 1000:g} s ahead of the record's {BEGIN_MS}: "
        "the sender's clock is wrong"
    ] * (not accepted)


def test_rows_of_nothing_are_nothing() -> None:
    found = take_in([])
    assert len(found.rows) == len(found.high) == found.impressions == 0


def test_two_messages_that_are_valid_only_when_joined_are_both_rejected() -> None:
    topic = Topic()
    whole = msgspec.json.encode(event("u"))
    topic.add_raw(b"u", whole[:40])
    topic.add_raw(b"u", whole[40:])
    assert len(take_in(topic.records).rejected) == 2
