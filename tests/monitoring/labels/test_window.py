from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interest.records import Event, Exposure, Kind
from interest.records import engaged as truly_engaged
from monitoring.labels.rows import Rows
from monitoring.labels.window import Request, Window

WINDOW_MS, SLACK_MS = 1000, 100
DURATION_S = 5.0


def exposure(
    name: str, videos: tuple[str, ...] = ("a", "b", "c"), experiment: str | None = None, **more: object
) -> bytes:
    return msgspec.json.encode(
        Exposure(
            request_id=name, user_id="u", experiment=experiment, arm="stable", propensity=1.0, model_digest="m",
            candidates=videos, positions=(1,) * len(videos), scores=tuple(0.1 * n for n in range(len(videos))),
            state_offset=(0, 0), state_since=0, state_age_ms=1, ts_ms=5, **more,
        )
    )  # fmt: skip


def event(name: str, video: str, kind: Kind, number: int = 0, **more: object) -> bytes:
    return msgspec.json.encode(
        Event(event_id=f"{name}-{video}-{kind}-{number}", user_id="u", video_id=video, request_id=name, ts_ms=7,
              kind=kind, **more)
    )  # fmt: skip


def rows_of(requests: list[Request]) -> list[dict[str, object]]:
    rows = Rows(WINDOW_MS, lambda _, video: DURATION_S if video != "x" else None)
    for one in requests:
        rows.add(one)
    return [row for table in rows.take().values() for row in table.to_pylist()]


def drained(window: Window, until_ms: int = 10**9) -> list[Request]:
    return list(window.close(until_ms))


def test_a_request_becomes_a_row_a_video_that_was_shown_when_its_window_is_over() -> None:
    window = Window(WINDOW_MS, SLACK_MS)
    window.exposure(0, 0, exposure("r", experiment="x", baseline=0.3, latency_ms=2.5, unknown=1))
    window.event(10, 0, event("r", "b", Kind.IMPRESSION, position=2, randomised=True))
    window.event(11, 1, event("r", "b", Kind.WATCH, watch_ms=4999))
    window.event(20, 2, event("r", "c", Kind.IMPRESSION))
    window.event(1000, 3, event("r", "c", Kind.LIKE))
    assert drained(window, 999) == []
    found = rows_of(drained(window, 1000))
    assert [(row["video_id"], row["engaged"], row["watch_ms"], row["liked"]) for row in found] == [
        ("b", False, 4999, False), ("c", True, 0, True),
    ]  # fmt: skip
    first = found[0]
    assert first["score"] == pytest.approx(0.1)
    assert (first["position"], first["randomised"], first["experiment"], first["candidates"]) == (2, True, "x", 3)
    assert (first["baseline"], first["latency_ms"], first["unknown"], first["label_age_ms"]) == (0.3, 2.5, 1, 1000)
    assert (first["ts_ms"], first["logged_ms"], first["shown_ms"]) == (5, 0, 7)


def test_a_request_without_an_impression_has_one_row_that_says_so() -> None:
    window = Window(WINDOW_MS, SLACK_MS)
    window.exposure(0, 0, exposure("r"))
    window.event(5, 0, event("r", "a", Kind.LIKE))
    (row,) = rows_of(drained(window))
    assert (row["request_id"], row["video_id"], row["engaged"]) == ("r", None, None)


def test_late_early_double_orphaned_foreign_and_broken_records_are_counted_and_stop_nothing() -> None:
    window = Window(WINDOW_MS, SLACK_MS)
    window.event(0, 0, event("r", "a", Kind.IMPRESSION))
    window.event(0, 1, event("nobody", "a", Kind.IMPRESSION))
    window.exposure(50, 0, exposure("r"))
    window.exposure(51, 1, exposure("r"))
    window.exposure(52, 2, b"{no json")
    window.event(60, 2, event("r", "a", Kind.WATCH, watch_ms=5000))
    window.event(61, 3, event("r", "a", Kind.WATCH, watch_ms=5000))
    window.event(62, 4, event("r", "elsewhere", Kind.IMPRESSION))
    window.event(1051, 5, event("r", "b", Kind.IMPRESSION))
    window.event(63, 6, None)
    requests = drained(window, 1100)
    window.event(1200, 7, event("r", "c", Kind.IMPRESSION))
    window.exposure(40, 3, exposure("too late"))
    found = {row["video_id"]: row for row in rows_of(requests)}
    assert found.keys() == {"a", "elsewhere"}
    assert (found["a"]["engaged"], found["elsewhere"]["score"]) == (True, None)
    assert window.counts == Counter(
        exposures=2, events=7, rejected=2, duplicate_exposures=1, duplicate_events=1, late_events=2, orphaned_events=1,
        late_exposures=1,
    )  # fmt: skip


def test_the_watermark_waits_for_the_slower_topic_and_a_quiet_one_does_not_hold_it_up() -> None:
    window = Window(WINDOW_MS, SLACK_MS)
    window.exposure(5000, 0, exposure("r"))
    assert window.watermark(9000, exposures_at_end=True, events_at_end=False) == 0
    window.event(4000, 0, event("r", "a", Kind.IMPRESSION))
    assert window.watermark(9000, exposures_at_end=False, events_at_end=False) == 3900
    assert window.watermark(9000, exposures_at_end=True, events_at_end=True) == 8900
    window.event(10**12, 1, event("r", "a", Kind.LIKE))
    assert window.watermark(9000, exposures_at_end=False, events_at_end=False) == 4900, "a clock that is ahead"
    list(window.close(4900))
    assert window.watermark(1000, exposures_at_end=True, events_at_end=True) == 4900, "it never goes back"


def test_what_an_arm_came_to_is_counted_at_once_and_not_again_on_a_replay() -> None:
    window = Window(WINDOW_MS, SLACK_MS)
    window.exposure(0, 0, exposure("r", experiment="x", failed=True))
    window.exposure(0, 1, exposure("s", experiment="x"), counted=False)
    assert {arm: (tally.requests, tally.failed) for arm, tally in window.tallies["x"].items()} == {"stable": (1, 1)}


@dataclass
class Log:
    """A partition's records as the brokers hold them: (time, body) by offset."""

    exposures: list[tuple[int, bytes]] = field(default_factory=list)
    events: list[tuple[int, bytes]] = field(default_factory=list)


def drawn(seed: int) -> Log:
    rng = random.Random(seed)
    log, clock = Log(), 1
    for number in range(rng.randrange(1, 25)):
        clock += rng.choice((0, 1, 50, 700))
        name = f"r{number}"
        log.exposures += [(clock, exposure(name))] * rng.choice((1, 1, 1, 2))
        for count in range(rng.randrange(6)):
            kind = rng.choice(list(Kind))
            at = max(1, clock + rng.choice((-SLACK_MS // 2, 0, 10, WINDOW_MS - 1, WINDOW_MS, WINDOW_MS + 1, 3000)))
            body = event(name, rng.choice("abcx"), kind, count, watch_ms=rng.choice((0, 4999, 5000, 18000)))
            log.events += [(at, body)] * rng.choice((1, 1, 2))
    log.events.sort(key=lambda one: one[0])
    return log


def by_hand(log: Log) -> dict[tuple[str, str | None], object]:
    """What should come out: every exposure, once, with all events up to its window's end."""
    found: dict[tuple[str, str | None], object] = {}
    for at, body in log.exposures:
        one = msgspec.json.decode(body, type=Exposure)
        acts = [msgspec.json.decode(b, type=Event) for ts, b in log.events if ts <= at + WINDOW_MS]
        mine = [act for act in acts if act.request_id == one.request_id]
        shown = {act.video_id for act in mine if act.kind is Kind.IMPRESSION}
        for video in shown:
            feedback = [(act.kind, act.watch_ms) for act in mine if act.video_id == video]
            found.setdefault((one.request_id, video), truly_engaged(feedback, DURATION_S if video != "x" else 18.0))
        if not shown:
            found.setdefault((one.request_id, None), None)
    return found


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_however_reads_and_crashes_fall_the_rows_are_those_of_a_join_by_hand(seed: int) -> None:
    """Reads of any length from both topics, commits anywhere, crashes anywhere: back to the last commit's offsets."""
    rng, log = random.Random(seed), drawn(seed)
    written: list[Request] = []
    window, at = Window(WINDOW_MS, SLACK_MS), [0, 0]
    committed = (0, (0, 0), (0, 0), 0)
    pending: list[Request] = []
    counts: Counter[str] = Counter()
    for _ in range(400):
        if rng.random() < 0.05:
            window, at, pending = Window(WINDOW_MS, SLACK_MS, committed[0]), list(committed[1]), []
            window.replaying = True
        for which, topic, take in ((0, log.exposures, window.exposure), (1, log.events, window.event)):
            for offset in range(at[which], min(len(topic), at[which] + rng.randrange(4))):
                ts_ms, body = topic[offset]
                take(ts_ms, offset, body, counted=offset >= committed[2][which])
                at[which] = offset + 1
        window.replaying = window.replaying and at[0] < committed[2][0]
        ends = [at[0] == len(log.exposures), at[1] == len(log.events)]
        now_ms = max([ts for ts, _ in log.exposures[: at[0]] + log.events[: at[1]]], default=0)
        reached = window.watermark(now_ms, exposures_at_end=ends[0], events_at_end=ends[1])
        pending += window.close(reached)
        if rng.random() < 0.1:
            written += pending
            pending = []
            counts.update(window.counts)
            window.counts.clear()
            read = (max(at[0], committed[2][0]), max(at[1], committed[2][1]))
            committed = (window.closed_ms, window.replay((at[0], at[1])), read, 0)
    for which, topic, take in ((0, log.exposures, window.exposure), (1, log.events, window.event)):
        for offset in range(at[which], len(topic)):
            take(*topic[offset][:1], offset, topic[offset][1], counted=offset >= committed[2][which])
    written += pending + drained(window)
    rows = rows_of(written)
    assert len(rows) == len({(row["request_id"], row["video_id"]) for row in rows}), "no row twice"
    assert {(row["request_id"], row["video_id"]): row["engaged"] for row in rows} == by_hand(log)
    counts.update(window.counts)
    assert counts["exposures"] + counts["duplicate_exposures"] == len(log.exposures)
    assert counts["events"] == len(log.events)
