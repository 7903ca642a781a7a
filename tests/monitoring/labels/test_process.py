"""The real process beside a real Kafka and a real S3: what it writes is what the topics hold, whatever happens."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from interest.records import Event, Exposure, Kind
from rapt.credentials import credentials
from rapt.service import find, start, stop
from tests.brokers import EmbeddedBroker
from tests.conftest import start_store
from tests.kafka_broker import KafkaBroker
from tests.monitoring.labels.conftest import SLACK_S, WINDOW_S, Start, make_topics, send, wanted
from tests.monitoring.labels.stream import encode, event, exposure
from tests.waiting import until
from wire import observations
from wire.kafka import EVENTS, EXPOSURES, Admin, Client, KafkaSettings, Topic, producer

pytestmark = pytest.mark.slow


def page(number: int | str, user_id: str = "u1", **more: object) -> list[Exposure | Event]:
    """A request that was shown and watched."""
    return [
        exposure(f"r{number}", user_id, **more),
        event(f"r{number}", f"r{number}a", user_id=user_id),
        event(f"r{number}", f"r{number}b", Kind.WATCH, user_id, watch_ms=20_000),
        event(f"r{number}", f"r{number}c", Kind.IMPRESSION, user_id, video_id="v2", position=2),
    ]


@contextmanager
def traffic(kafka: KafkaSettings, seed: int) -> Iterator[Callable[[], int]]:
    """Inside, viewers ask and act all the time; afterwards all is acknowledged. Gives the number of requests."""
    over, sent = threading.Event(), [0]

    def run() -> None:
        draw = random.Random(seed)
        sender = producer(kafka, Client.CONFLUENT)
        while not over.wait(0.01):
            sent[0] += 1
            user = f"u{draw.randrange(20)}"
            asked, *acts = page(sent[0], user, experiment="trial", ts_ms=sent[0])
            sender.send(EXPOSURES, user.encode(), encode(asked))
            for act in acts[: draw.randrange(4)]:
                for _ in range(draw.choice([1, 1, 1, 2])):
                    sender.send(EVENTS, user.encode(), encode(act))
        sender.flush(60)
        sender.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield lambda: sent[0]
    finally:
        over.set()
        thread.join()


def test_what_viewers_do_within_the_window_becomes_rows(fresh: KafkaSettings, joiner: Start) -> None:
    one = joiner(fresh)
    one.start()
    send(fresh, *page(1), *page(2, "u2"), exposure("r3"), event("r9", "lost"), *page(1))
    rows = wanted(fresh)
    until(lambda: one.has(rows), "the rows are written")
    assert one.rows() == rows
    assert [(row["request_id"], row["video_id"], row["engaged"], row["score"]) for row in rows] == [
        ("r1", "v1", True, 0.5), ("r1", "v2", False, 0.25), ("r2", "v1", True, 0.5), ("r2", "v2", False, 0.25),
        ("r3", None, None, None),
    ]  # fmt: skip
    until(lambda: one.status()["counts"]["orphaned_events"] == 1, "the event without exposure is given up")
    until(lambda: one.status()["coverage"] == pytest.approx(2 / 3), "two of three requests are labelled")
    counts = one.status()["counts"]
    assert (counts["exposures"], counts["duplicate_exposures"]) == (4, 1)
    assert (counts["events"], counts["duplicate_events"]) == (10, 3)
    assert (counts["labelled_requests"], counts["missing_requests"]) == (2, 1)
    metrics = one.get("/metrics")
    assert metrics is not None
    assert b"rapt_labels_rows_total 5.0" in metrics.data
    assert b"rapt_labels_coverage 0.66" in metrics.data
    assert one.end() == 0


def test_late_events_and_records_that_are_none_are_counted_and_have_no_effect(
    fresh: KafkaSettings, joiner: Start
) -> None:
    one = joiner(fresh)
    one.start()
    send(fresh, *page(1))
    sender = producer(fresh, Client.CONFLUENT)
    for topic in (EVENTS, EXPOSURES):
        sender.send(topic, b"u1", b"{")
        sender.send(topic, b"u1", None)
        sender.send(topic, b"another", encode(page(7)[topic == EVENTS]))
    sender.flush(30)
    sender.close()
    until(lambda: one.has([{}] * 2), "the rows are written")
    send(fresh, event("r1", "late", Kind.LIKE))
    until(lambda: one.status()["counts"]["late_events"] == 1, "the late event is counted")
    assert one.status()["counts"]["rejected"] == 6
    assert "no value" in one.log or "truncated" in one.log
    assert not one.rows()[0]["liked"]
    assert one.end() == 0


def test_killed_again_and_again_it_loses_and_doubles_nothing(fresh: KafkaSettings, joiner: Start) -> None:
    one = joiner(fresh, RAPT_LABEL_ROWS_S="0.02", RAPT_LABEL_COMMIT_S="0.02")
    draw = random.Random(7)
    with traffic(fresh, 1) as sent:
        for number in range(7):
            before = one.seq()
            one.start(ready=False)
            if number % 2:
                until(lambda before=before: one.seq() > before, "it writes")  # type: ignore[misc]
            else:
                until(lambda: one.get("/live") is not None, "it lives")
            time.sleep(draw.uniform(0.0, 0.7))  # a moment that nobody chose
            one.end(signal.SIGKILL)
    one.start()
    rows = wanted(fresh)
    until(lambda: one.has(rows), "all rows are written")
    assert one.rows() == rows
    newest = observations.head(one.store)
    assert newest is not None
    assert newest.counters["rows"] == len(rows)
    assert newest.tallies["trial"]["stable"].requests == newest.counters["exposures"] == sent()
    assert newest.tallies["trial"]["stable"].last_ms == sent()
    assert one.end() == 0


def test_of_two_joiners_the_first_ends_and_nothing_is_lost_or_doubled(fresh: KafkaSettings, joiner: Start) -> None:
    old, new = joiner(fresh), joiner(fresh)
    with traffic(fresh, 2):
        old.start()
        until(lambda: old.has([{}] * 50), "the old one writes")
        new.start()
        assert old.process is not None
        assert old.process.wait(30) == 1
    assert "another one has taken over" in old.log
    rows = wanted(fresh)
    until(lambda: new.has(rows), "all rows are written")
    assert new.rows() == rows
    assert new.end() == 0


def test_an_outage_of_the_object_store_only_delays(fresh: KafkaSettings, joiner: Start, tmp_path: Path) -> None:
    keys = credentials(tmp_path / "credentials.json")
    service = start_store(tmp_path / "store", keys)
    own = {"RAPT_S3_ENDPOINT": service.address, "AWS_ACCESS_KEY_ID": keys.access_key,
           "AWS_SECRET_ACCESS_KEY": keys.secret_key, "RAPT_S3_DEADLINE_S": "1"}  # fmt: skip
    run_folder = tmp_path / "store" / "run"
    one = joiner(fresh, **own)
    try:
        with traffic(fresh, 3):
            one.start()
            until(lambda: one.has([{}] * 30), "it writes")
            process = find(service.name, run_folder)
            assert process is not None
            process.kill()
            process.wait()
            until(lambda: not one.ready(), "it says that it cannot write")
            assert "object store" in one.status()["waits_for"]
            start(service, run_folder, deadline_s=60)
            until(one.ready, "it is ready again")
        rows = wanted(fresh)
        until(lambda: one.has(rows), "all rows are written")
        assert one.rows() == rows
        assert one.end() == 0
    finally:
        stop(service.name, run_folder, grace_s=0.1)


def test_a_broker_that_is_away_moves_no_watermark(broker: KafkaBroker, fresh: KafkaSettings, joiner: Start) -> None:
    """The events are in the topic, unread, when the broker dies; its lag was 0 when last heard of."""
    one = joiner(fresh)
    one.start()
    send(fresh, exposure("r1"))
    until(lambda: one.status()["open_requests"] == 1, "the exposure is read")
    one.tell(signal.SIGSTOP)
    send(fresh, *page(1)[1:])
    broker.kill()
    one.tell(signal.SIGCONT)
    over_at = time.time() + WINDOW_S + SLACK_S + 1
    until(lambda: time.time() > over_at, "the window is over by every clock")
    until(lambda: not one.ready(), "it says that the brokers do not answer")
    assert one.status()["open_requests"] == 1
    assert one.rows() == []
    broker.start()
    rows = wanted(fresh)
    until(lambda: one.has(rows), "the rows are written")
    assert one.rows() == rows
    assert [row["video_id"] for row in rows] == ["v1", "v2"]
    until(one.ready, "it is ready again")
    assert one.end() == 0


def test_ended_it_writes_what_is_closed_at_once(fresh: KafkaSettings, joiner: Start) -> None:
    one = joiner(fresh, RAPT_LABEL_ROWS_S="3600", RAPT_LABEL_COMMIT_S="3600")
    one.start()
    send(fresh, *page(1, experiment="trial"))
    rows = wanted(fresh)
    closes_at = time.time() + WINDOW_S + SLACK_S + 2.0
    until(lambda: time.time() > closes_at and one.status()["label_lag_seconds"] < SLACK_S + 2, "the window is over")
    assert one.rows() == []
    began = time.monotonic()
    assert one.end() == 0
    assert time.monotonic() - began < 30
    assert one.rows() == rows
    newest = observations.head(one.store)
    assert newest is not None
    assert newest.tallies["trial"]["stable"].requests == 1


def test_tallies_are_told_long_before_the_window_closes(fresh: KafkaSettings, joiner: Start) -> None:
    one = joiner(fresh, RAPT_LABEL_WINDOW_S="3600", RAPT_LABEL_ROWS_S="3600")
    one.start()
    send(fresh, exposure("r1", experiment="trial", arm="candidate", failed=True, unknown=2, latency_ms=3.0))
    until(lambda: "trial" in getattr(observations.head(one.store), "tallies", {}), "the tally is in the head")
    newest = observations.head(one.store)
    assert newest is not None
    tally = newest.tallies["trial"]["candidate"]
    assert (tally.requests, tally.failed, tally.unknown, tally.candidates) == (1, 1, 2, 3)
    assert (tally.latency_ms, tally.latency_ms_squared) == (3.0, 9.0)
    assert one.end() == 0


def test_topics_of_different_partitions_are_refused(broker: KafkaBroker, joiner: Start) -> None:
    make_topics(broker.plain, exposures=2, events=3)
    one = joiner(broker.plain)
    one.start(ready=False)
    assert one.process is not None
    assert one.process.wait(30) == 1
    assert "exposures has 2, events has 3" in one.log


def test_the_laptops_broker_and_store_give_the_same(embedded_broker: EmbeddedBroker, joiner: Start) -> None:
    kafka = embedded_broker.settings
    admin = Admin(kafka)
    admin.create([Topic(EXPOSURES, 8), Topic(EVENTS, 8)])
    admin.close()
    one = joiner(kafka)
    one.start()
    send(kafka, *page("-embedded", "embedded"))
    until(lambda: any(row["request_id"] == "r-embedded" for row in one.rows()), "the rows are written")
    mine = [row for row in one.rows() if row["request_id"] == "r-embedded"]
    assert [(row["video_id"], row["engaged"]) for row in mine] == [("v1", True), ("v2", False)]
    assert one.end() == 0
