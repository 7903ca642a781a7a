"""The feeder's process on a real Kafka: fresh within moments, exact after kills, restored, never stopped by rubbish."""

import random
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.feeder.feeder import Feeder
from inference.feeder.metrics import Status
from inference.state import open_reader
from interest.records import Event
from tests.inference.feeder.conftest import FeederProcess, create_topics
from tests.inference.state.streams import encode, event, random_topic, writing
from tests.kafka_broker import KafkaBroker
from tests.waiting import until
from wire.kafka import EARLIEST, EVENTS, EVENTS_DEAD, Client, Producer, Record, consumer, producer
from wire.kafka.pulse import Pulse

pytestmark = pytest.mark.slow

PARTITIONS = 8


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def sender(broker: KafkaBroker) -> Iterator[Producer]:
    one = producer(broker.plain)
    yield one
    one.close()


def send(sender: Producer, *events: Event) -> None:
    for one in events:
        sender.send(EVENTS, one.user_id.encode(), encode(one))
    sender.flush(30)


def all_records(broker: KafkaBroker, topic: str, partitions: int) -> list[Record]:
    """The whole topic, as it is now."""
    reader = consumer(broker.plain, {(topic, number): EARLIEST for number in range(partitions)})
    records: list[Record] = []
    give_up_at = time.monotonic() + 60
    while sum(reader.lags().values()):
        records += reader.poll(10_000, 0.2)
        assert time.monotonic() < give_up_at
    reader.close()
    return records


def uninterrupted(records: list[Record], folder: Path, users: list[str]) -> list[tuple[bytes, int, int, int]]:
    """The users' states after one apply of all records."""
    folder.mkdir()
    with writing(folder, 5000, PARTITIONS) as writer:
        writer.apply(records)
        return states(folder, users)


def states(folder: Path, users: list[str]) -> list[tuple[bytes, int, int, int]]:
    reader = open_reader(folder)
    found = [reader.read(user) for user in users]
    return [(one.rows.tobytes(), one.partition, one.offset, one.since) for one in found]


def test_an_event_is_in_the_state_moments_after_it_was_sent(feeder: FeederProcess, sender: Producer) -> None:
    feeder.start()
    reader = open_reader(feeder.state)
    user = f"fast-{secrets.token_hex(4)}"
    took_s = []
    for number in range(20):
        began = time.monotonic()
        send(sender, event(user, now_ms(), f"e{number}"))
        until(lambda count=number + 1: len(reader.read(user).rows) == count, "the event is there")  # type: ignore[misc]
        took_s.append(time.monotonic() - began)
    assert sorted(took_s)[len(took_s) // 2] < 5  # it is some 20 ms; a timer of seconds on the way would show

    def fresh() -> bool:
        told = reader.freshness()
        return told.lag == 0 and told.ready and told.alive and told.age_ms < 1000

    until(fresh, "level, ready, alive and young")
    metrics = feeder.get("/metrics")
    assert metrics is not None
    assert f"rapt_feeder_records_total {feeder.status()['records']}.0" in metrics.data.decode()


def test_the_state_is_exact_after_kills_under_load(broker: KafkaBroker, feeder: FeederProcess, tmp_path: Path) -> None:
    mark = secrets.token_hex(4)
    load = random_topic(4, 30_000, viewers=300, steady=0.7, partitions=PARTITIONS).records
    over = threading.Event()

    def produce() -> None:
        sender = producer(broker.plain)
        for number, record in enumerate(load):
            assert record.key is not None
            assert record.value is not None
            value = record.value.replace(b'"user_id":"', b'"user_id":"' + mark.encode())
            sender.send(EVENTS, mark.encode() + record.key, value)
            if number % 500 == 0:
                sender.flush(30)
        sender.flush(30)
        sender.close()
        over.set()

    feeder.start()
    thread = threading.Thread(target=produce)
    thread.start()
    draw = random.Random(1)
    for _ in range(4):
        seen = feeder.status()["records"]
        until(lambda: feeder.status()["records"] > seen + draw.randrange(500, 2500) or over.is_set(), "some load")  # noqa: B023
        feeder.end(signal.SIGKILL)
        feeder.start(ready=False)
        until(lambda: feeder.get("/live") is not None, "it answers")
    thread.join(120)
    assert over.is_set()
    until(feeder.ready, "ready again")
    until(lambda: feeder.status()["lag"] == 0, "no lag")
    assert "from the memory of the feeder before" in feeder.log
    users = [f"{mark}u{number}" for number in range(300)]
    found = states(feeder.state, users)
    assert found == uninterrupted(all_records(broker, EVENTS, PARTITIONS), tmp_path / "whole", users)
    assert sum(offset > 0 for *_, offset, _ in found) > 290


def test_a_feeder_that_was_ended_goes_on_from_its_checkpoint_and_the_tail(
    broker: KafkaBroker, feeder: FeederProcess, sender: Producer, tmp_path: Path
) -> None:
    users = [f"restored-{secrets.token_hex(4)}" for _ in range(20)]
    feeder.start()
    send(sender, *(event(user, now_ms(), f"{user}-{number}") for user in users for number in range(150)))
    until(lambda: feeder.status()["lag"] == 0, "no lag")
    assert feeder.end() == 0
    assert not list(feeder.state.glob("*.slab"))
    send(sender, *(event(user, now_ms(), f"{user}-more") for user in users))
    feeder.start()
    assert "from a checkpoint" in feeder.status()["restored"]
    until(lambda: feeder.status()["lag"] == 0, "no lag")
    assert feeder.status()["records"] < 150 * len(users), "not all of them again"
    assert states(feeder.state, users) == uninterrupted(
        all_records(broker, EVENTS, PARTITIONS), tmp_path / "whole", users
    )


def test_records_that_cannot_be_used_go_to_the_dead_letters_with_the_reason(
    broker: KafkaBroker, feeder: FeederProcess, sender: Producer
) -> None:
    user = f"poison-{secrets.token_hex(4)}"
    key = user.encode()
    bad = {
        b"not an event: Input data was truncated": b"{",
        b"not an event: Invalid enum": encode(event(user)).replace(b"watch", b"glance", 1),
        b"is not the event's user_id": encode(event("somebody else")),
        b"the sender's clock is wrong": encode(event(user, now_ms() + 600_000)),
        b"video_id is empty": encode(event(user, video_id="")),
        b"video_id of 600 bytes": encode(event(user, video_id="v" * 600)),
        b"ts_ms -1 is negative": encode(event(user, -1)),
        b"not an event: Object contains unknown field": encode(event(user)).replace(b'"kind"', b'"extra":1,"kind"'),
        b"not an event: Expected `int`": encode(event(user)).replace(b'"ts_ms":', b'"ts_ms":"x","ts_ms":'),
    }
    feeder.start()
    for value in bad.values():
        sender.send(EVENTS, key, value)
    sender.send(EVENTS, key, None)
    send(sender, event(user, now_ms(), "good"))
    reader = open_reader(feeder.state)
    until(lambda: len(reader.read(user).rows) == 1, "the good event is there")
    buried = [one for one in all_records(broker, EVENTS_DEAD, 1) if one.key == key]
    reasons = {one.value: dict(one.headers)["reason"] for one in buried}
    assert len(buried) == len(bad) + 1
    assert reasons[None] == b"no value"
    for part, value in bad.items():
        assert part in reasons[value], reasons[value]
    until(lambda: feeder.status()["dead_letters"] >= len(bad) + 1, "they are counted")


def test_a_second_feeder_in_the_folder_is_refused(feeder: FeederProcess, tmp_path: Path) -> None:
    feeder.start()
    (tmp_path / "second").mkdir()
    second = FeederProcess(tmp_path / "second", feeder.environment)
    second.start(ready=False)
    assert second.process is not None
    assert second.process.wait(60) == 1
    assert "error: another feeder writes into" in second.log


def test_a_dead_broker_makes_the_state_old_and_not_ready(broker: KafkaBroker, feeder: FeederProcess) -> None:
    feeder.start()
    reader = open_reader(feeder.state)
    until(lambda: reader.freshness().ready, "ready")
    broker.kill()
    try:
        until(lambda: reader.freshness().age_ms > 4000, "the state grows old")
        # Its signs of life may be late on a busy machine.
        until(lambda: reader.freshness().alive and not reader.freshness().ready, "alive and not ready")
    finally:
        broker.start()
    user = f"again-{secrets.token_hex(4)}"
    sender = producer(broker.plain)
    send(sender, event(user, now_ms()))
    sender.close()
    until(lambda: len(reader.read(user).rows) == 1 and reader.freshness().ready, "fresh again")


@pytest.mark.parametrize("client", Client)
def test_brokers_that_die_while_it_connects_anew_are_waited_for(
    broker: KafkaBroker, client: Client, tmp_path: Path
) -> None:
    """It does so by itself when the topic grows, and when it is far behind or level again."""
    from kafka.admin import KafkaAdminClient

    kafka, status, threads = broker.plain, Status(), set(threading.enumerate())
    pulse = Pulse(kafka)
    pulse.start()
    with writing(tmp_path, 1000, 0) as writer:
        until(lambda: pulse.partitions > 0, "the partitions are known")
        writer.partitions = pulse.partitions
        more = pulse.partitions + 1
        feeder = Feeder(writer, kafka, client, pulse, status, ready_lag=1000)
        admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        admin.create_partitions({EVENTS: more})
        admin.close()
        until(lambda: pulse.partitions == more, "the topic has grown")
        broker.kill()
        try:
            feeder.turn()  # hears of the partition
            feeder.turn()  # connects anew
        finally:
            broker.start()
        sender = producer(kafka, client)
        send(sender, *(event(f"grown-{number}", now_ms()) for number in range(50 * more)))
        sender.close()

        def level() -> bool:
            feeder.turn()
            return status.lag == 0 and not status.waits_for

        until(level, "it goes on")
        assert set(status.offsets) == set(range(more))
        feeder.close()
    pulse.stop()
    until(lambda: set(threading.enumerate()) <= threads, "no thread goes on")


def test_deleted_records_are_a_gap_and_a_topic_made_anew_begins_all_histories_again(
    broker: KafkaBroker, feeder: FeederProcess, sender: Producer
) -> None:
    from kafka import TopicPartition
    from kafka.admin import KafkaAdminClient

    user = f"gap-{secrets.token_hex(4)}"
    feeder.start()
    reader = open_reader(feeder.state)
    send(sender, *(event(user, now_ms(), f"e{number}") for number in range(5)))
    until(lambda: len(reader.read(user).rows) == 5, "all there")
    partition = reader.read(user).partition
    feeder.end(signal.SIGKILL)
    send(sender, *(event(user, now_ms(), f"lost{number}") for number in range(3)))
    admin = KafkaAdminClient(bootstrap_servers=broker.plain.bootstrap)
    try:
        admin.delete_records({TopicPartition(EVENTS, partition): -1})
        send(sender, event(user, now_ms(), "after"))
        feeder.start()
        until(lambda: len(reader.read(user).rows) == 6, "goes on after the gap")
        assert feeder.status()["offsets_gone"] == 1
        before = reader.read(user)
        admin.delete_topics([EVENTS])
    finally:
        admin.close()
    until(lambda: EVENTS not in topics(broker), "the topic is gone")
    feeder.end(signal.SIGKILL)
    create_topics(broker.plain)
    fresh = producer(broker.plain)
    send(fresh, event(user, now_ms(), "new topic"))
    fresh.close()
    feeder.start()
    until(lambda: len(reader.read(user).rows) == 1, "the history began again")
    after = reader.read(user)
    assert (after.since, after.offset) == (0, 1)
    assert before.offset > 1


def topics(broker: KafkaBroker) -> list[str]:
    from kafka.admin import KafkaAdminClient

    admin = KafkaAdminClient(bootstrap_servers=broker.plain.bootstrap)
    try:
        return list(admin.list_topics())
    finally:
        admin.close()
