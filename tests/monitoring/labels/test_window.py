"""The join of one partition, by cases worked out by hand: window 1000 ms, slack 100 ms."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from interest.records import Kind, engaged
from monitoring.labels import rows
from monitoring.labels.intake import Act, Asked
from monitoring.labels.request import MOST_EVENTS, Counts, Request
from monitoring.labels.window import Join


def asked(request_id: str = "r1", user_id: str = "u1") -> Asked:
    return Asked(
        request_id=request_id, user_id=user_id, experiment=None, arm="stable", propensity=1.0, model_digest="m",
        candidates=("v1", "v2"), scores=(0.5, 0.25), positions=(1, 1), state_age_ms=0, ts_ms=5,
    )  # fmt: skip


def act(event_id: str, kind: Kind = Kind.IMPRESSION, video_id: str = "v1", user_id: str = "u1", **more: int) -> Act:
    return Act(event_id=event_id, user_id=user_id, video_id=video_id, request_id="r1", ts_ms=9, kind=kind, **more)


def made(requests: list[Request], counts: Counts) -> list[dict[str, object]]:
    table = rows.table(requests, 1000, {"v1": 3.0}.get, counts)
    found: list[dict[str, object]] = table.to_pylist()
    return found


def test_an_event_counts_until_the_window_ends_and_not_a_millisecond_longer() -> None:
    join, counts = Join(1000, 100), Counts()
    join.expose(asked(), 5000, 0, counts)
    join.act(act("a"), 6000, 0, counts)
    join.act(act("b", Kind.LIKE), 6001, 1, counts)
    assert counts.late_events == 1
    assert join.close(5999, counts) == []
    (row,) = made(join.close(6000, counts), counts)
    assert (row["video_id"], row["liked"], row["logged_ms"], row["label_age_ms"]) == ("v1", False, 5000, 1000)
    join.act(act("c"), 6002, 2, counts)
    assert counts.late_events == 2, "the request is remembered for another window"


def test_an_event_waits_for_its_exposure_until_none_can_come() -> None:
    join, counts = Join(1000, 100), Counts()
    join.act(act("a"), 4900, 0, counts)
    join.close(4999, counts)
    assert (join.early, counts.orphaned_events) == (1, 0)
    join.expose(asked(), 5000, 0, counts)
    assert join.early == 0
    (row,) = made(join.close(6000, counts), counts)
    assert row["video_id"] == "v1"
    join = Join(1000, 100)
    join.act(act("a"), 4900, 0, counts)
    join.close(5000, counts)
    assert (join.early, counts.orphaned_events) == (0, 1)


def test_what_is_longer_than_the_slack_before_its_exposure_is_not_its_own() -> None:
    join, counts = Join(1000, 100), Counts()
    join.act(act("a"), 4899, 0, counts)
    join.expose(asked(), 5000, 0, counts)
    join.act(act("b"), 4899, 1, counts)
    assert counts.orphaned_events == 2
    (row,) = made(join.close(6000, counts), counts)
    assert row["video_id"] is None


def test_another_viewers_event_has_no_effect() -> None:
    join, counts = Join(1000, 100), Counts()
    join.expose(asked(), 5000, 0, counts)
    join.act(act("a", user_id="u2"), 5001, 0, counts)
    assert counts.orphaned_events == 1
    (row,) = made(join.close(6000, counts), counts)
    assert row["video_id"] is None


def test_feedback_without_impression_makes_no_row() -> None:
    join, counts = Join(1000, 100), Counts()
    join.expose(asked(), 5000, 0, counts)
    join.act(act("a", Kind.LIKE), 5001, 0, counts)
    (row,) = made(join.close(6000, counts), counts)
    assert row["video_id"] is None
    assert (counts.without_impression, counts.missing_requests, counts.labelled_requests) == (1, 1, 0)


def test_a_shown_video_that_was_no_candidate_has_no_score() -> None:
    join, counts = Join(1000, 100), Counts()
    join.expose(asked(), 5000, 0, counts)
    join.act(act("a", video_id="v9", position=-3), 5001, 0, counts)
    (row,) = made(join.close(6000, counts), counts)
    assert (row["video_id"], row["score"], row["position"]) == ("v9", None, 1)
    assert (counts.foreign_videos, counts.unknown_durations) == (1, 1)


def test_one_request_takes_no_more_events_than_people_make() -> None:
    join, counts = Join(1000, 100), Counts()
    for number in range(MOST_EVENTS + 5):
        join.act(act(f"early{number}"), 5000, number, counts)
    join.expose(asked(), 5000, 0, counts)
    join.act(act("more"), 5001, 2000, counts)
    assert counts.excess_events == 6
    assert join.replay(1, 2001) == (0, 0)


def test_nothing_is_kept_of_what_is_over() -> None:
    """Memory is that of the open window."""
    join, counts = Join(1000, 100), Counts()
    for number in range(1000):
        one = asked(f"r{number}")
        join.expose(one, 100 * number, number, counts)
        join.close(100 * number - 100, counts)
        assert len(join) <= 12
        assert len(join._closed) <= 12
    assert join.replay(1000, 0)[0] >= 988


@given(
    st.lists(st.tuples(st.sampled_from(list(Kind)[1:]), st.integers(0, 40_000)), max_size=6),
    st.sampled_from([0.0005, 3.0, 17.9995, 18.0, 60.0]),
)
def test_engaged_is_what_the_one_definition_says(feedback: list[tuple[Kind, int]], seconds: float) -> None:
    join, counts = Join(1000, 100), Counts()
    join.expose(asked(), 5000, 0, counts)
    join.act(act("shown"), 5001, 0, counts)
    for number, (kind, watch_ms) in enumerate(feedback):
        join.act(act(f"e{number}", kind, watch_ms=watch_ms), 5002, number, counts)
    (row,) = rows.table(join.close(6000, counts), 1000, {"v1": seconds}.get, counts).to_pylist()
    assert row["engaged"] == engaged(feedback, seconds)
    assert row["watch_ms"] == max((ms for kind, ms in feedback if kind is Kind.WATCH), default=0)
    assert row["skipped"] == any(kind is Kind.SKIP for kind, _ in feedback)
