"""Packed rows give back what an event said, as the model's input."""

import numpy as np
import pytest

from interest.history import KIND_CODES
from interest.records import FEEDBACK, Event, Kind
from interest.viewer_rows import ROW, feedback, row, user_key, video_key


def event(kind: Kind = Kind.WATCH, **fields: object) -> Event:
    known = {"event_id": "e", "user_id": "u", "video_id": "v", "request_id": "r", "ts_ms": 5, "kind": kind}
    return Event(**{**known, **fields})  # type: ignore[arg-type]


def test_a_row_is_28_bytes_so_that_a_hundred_fit_into_three_kilobytes() -> None:
    assert ROW.itemsize == 28


@pytest.mark.parametrize("kind", FEEDBACK)
def test_feedback_comes_back_as_it_was_sent(kind: Kind) -> None:
    known = {video_key("a"): 4}
    rows = np.array([row(event(kind, video_id="a", watch_ms=1234, position=3, ts_ms=99))], ROW)
    found = feedback(rows, lambda keys: np.array([known.get(int(key), -1) for key in keys]))
    assert (found.video[0], found.watch_ms[0], found.position[0], found.ts_ms[0]) == (4, 1234, 3, 99)
    assert found.kind[0] == KIND_CODES[kind]


def test_numbers_out_of_range_are_brought_back_into_it() -> None:
    wild = np.array([row(event(watch_ms=2**40, position=0)), row(event(watch_ms=-5, position=2**20))], ROW)
    assert wild["watch_ms"].tolist() == [2**32 - 1, 0]
    assert wild["position"].tolist() == [1, 2**16 - 1]


def test_an_impression_is_no_feedback() -> None:
    with pytest.raises(KeyError):
        row(event(Kind.IMPRESSION))


def test_keys_differ_and_have_their_sizes() -> None:
    assert len({video_key(f"v{number}") for number in range(10_000)}) == 10_000
    assert len(user_key("ü".encode())) == 16
