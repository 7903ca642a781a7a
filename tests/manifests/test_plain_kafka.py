"""The overlay's own Kafka, run for real: TLS, passwords, rights, a restart and a changed password."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from rapt.cluster.secrets import USERS
from tests.contract.streams import send_patiently
from tests.kafka_broker import KafkaMissing, authority, jars, missing_programs
from tests.manifests.built import MANIFESTS, build
from tests.manifests.plain_kafka import PlainKafka
from wire.errors import KafkaDenied, KafkaError
from wire.kafka import EARLIEST, Admin, consumer, producer
from wire.kafka.topics import ALL

pytestmark = pytest.mark.cluster

WITHIN_S = 20.0


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainKafka]:
    if reason := missing_programs() or ("" if shutil.which("kubectl") else "the overlay is built by kubectl"):
        pytest.skip(reason)
    try:
        libs = jars()
    except KafkaMissing as error:
        pytest.skip(str(error))
    made = PlainKafka(tmp_path_factory.mktemp("plain"), libs, build(MANIFESTS / "overlays" / "kind"))
    try:
        made.prepare({user: f"password of {user}" for user in USERS})
        made.start()
        yield made
    finally:
        made.kill()


def send(kafka: PlainKafka, user: str, topic: str, value: bytes) -> None:
    """Have the user write one record."""
    with closing(producer(kafka.settings(user))) as writer:
        send_patiently(writer, topic, b"k", value)
        writer.flush(WITHIN_S)
        assert (writer.unacknowledged, writer.failed) == (0, 0)


def read(kafka: PlainKafka, user: str, topic: str, partitions: int) -> list[bytes | None]:
    """What the user finds in the topic, at least one record."""
    starts = {(topic, partition): EARLIEST for partition in range(partitions)}
    with closing(consumer(kafka.settings(user), starts)) as reader:
        return [record.value for record in reader.poll(100, WITHIN_S)]


def test_the_gateway_writes_events_and_the_feeder_reads_them(kafka: PlainKafka) -> None:
    send(kafka, "gateway", "events", b"an event")
    assert b"an event" in read(kafka, "feeder", "events", 8)


def test_arms_go_from_the_operator_to_the_transformer(kafka: PlainKafka) -> None:
    send(kafka, "experiments", "arms", b"an allocation")
    for user in ("transformer", "experiments"):
        assert read(kafka, user, "arms", 1) == [b"an allocation"]


@pytest.mark.parametrize(
    ("user", "topic"),
    [("feeder", "events"), ("transformer", "events"), ("transformer", "arms"), ("gateway", "exposures")],
)
def test_others_may_not_write(kafka: PlainKafka, user: str, topic: str) -> None:
    with pytest.raises(KafkaDenied, match=f"'{user}' on topic '{topic}'"):
        send(kafka, user, topic, b"forged")


def test_who_has_no_topic_to_write_may_not_even_begin(kafka: PlainKafka) -> None:
    with pytest.raises(KafkaError, match="'content'"):
        send(kafka, "predictor", "content", b"forged")


@pytest.mark.parametrize(("user", "topic"), [("gateway", "exposures"), ("gateway", "events"), ("predictor", "events")])
def test_others_may_not_read(kafka: PlainKafka, user: str, topic: str) -> None:
    with pytest.raises(KafkaDenied, match=f"'{user}' on topic '{topic}'"):
        read(kafka, user, topic, 8)


def test_users_see_only_what_they_use(kafka: PlainKafka) -> None:
    seen = {}
    for user in USERS:
        with closing(Admin(kafka.settings(user))) as admin:
            seen[user] = admin.topics()
    assert seen == {
        "feeder": ["events", "events.dead"],
        "transformer": ["arms", "exposures"],
        "predictor": ["content"],
        "explainer": ["content"],
        "catalogue-feed": ["content", "videos", "videos.dead"],
        "labels": ["content", "events", "exposures"],
        "experiments": ["arms"],
        "dashboard": ["arms", "content", "events"],
        "gateway": ["events", "videos"],
    }
    partitions = {topic.name: topic.partitions for topic in ALL}
    with closing(Admin(kafka.settings("catalogue-feed"))) as admin:
        assert admin.partitions("videos") == partitions["videos"]


def test_a_broker_of_another_authority_is_not_trusted(kafka: PlainKafka, tmp_path: Path) -> None:
    authority(tmp_path / "other.pem")
    with pytest.raises(KafkaDenied, match="not trusted"):
        Admin(replace(kafka.settings("gateway"), ca_file=str(tmp_path / "other.pem")))


def test_records_and_users_outlive_a_restart_with_another_password(kafka: PlainKafka, tmp_path: Path) -> None:
    send(kafka, "gateway", "videos", b"before")
    before = tmp_path / "before"
    before.write_text("password of gateway", encoding="utf-8")
    kafka.stop()
    kafka.set_password("gateway", "another password\n")
    kafka.start()
    send(kafka, "gateway", "videos", b"after")
    assert read(kafka, "catalogue-feed", "videos", 1) == [b"before", b"after"]
    with pytest.raises(KafkaDenied, match="does not accept user 'gateway'"):
        Admin(replace(kafka.settings("gateway"), password_file=str(before)))


def test_no_password_is_in_what_the_containers_say(kafka: PlainKafka) -> None:
    for name in ("kafka", "setup"):
        said = kafka.log(name).read_text(errors="replace")
        assert said
        assert "password of" not in said
        assert "another password" not in said
