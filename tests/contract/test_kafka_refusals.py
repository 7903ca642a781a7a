"""Whom and what brokers refuse is said at once, with the setting to change and without the password."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.relay import relay_in_one_piece
from tests.contract.streams import Stream, reading, take, writing
from tests.kafka_broker import STRANGER, authority
from wire.errors import KafkaDenied, KafkaUnavailable, UnknownTopic
from wire.kafka import Admin, Client, KafkaSettings, consumer, producer

PROMPT_S = 10.0
Opening = Callable[[KafkaSettings, Client], object]
OPENINGS: dict[str, Opening] = {
    "producer": producer,
    "consumer": lambda settings, client: consumer(settings, {("events", 0): 0}, client),
    "admin": lambda settings, _: Admin(settings),
}


@pytest.fixture(params=OPENINGS)
def opening(request: pytest.FixtureRequest) -> Opening:
    """Each way to connect."""
    return OPENINGS[request.param]


def test_a_wrong_password_is_denied(secure_kafka: Stream, client: Client, opening: Opening, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("another password")
    settings = replace(secure_kafka.settings, password_file=str(tmp_path / "password"))
    began = time.monotonic()
    with pytest.raises(KafkaDenied, match=r"does not accept user 'rapt'.*RAPT_KAFKA_PASSWORD_FILE") as denied:
        opening(settings, client)
    assert time.monotonic() - began < PROMPT_S
    assert "another password" not in str(denied.value)


def test_a_refusal_is_heard_when_the_end_comes_with_it(
    secure_kafka: Stream, client: Client, opening: Opening, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("another password")
    with relay_in_one_piece(secure_kafka.settings.bootstrap) as bootstrap:
        settings = replace(secure_kafka.settings, bootstrap=bootstrap, password_file=str(tmp_path / "password"))
        with pytest.raises(KafkaDenied, match="does not accept user 'rapt'"):
            opening(settings, client)


def test_an_unknown_user_is_denied(secure_kafka: Stream, client: Client, opening: Opening) -> None:
    began = time.monotonic()
    with pytest.raises(KafkaDenied, match="does not accept user 'nobody'"):
        opening(replace(secure_kafka.settings, username="nobody"), client)
    assert time.monotonic() - began < PROMPT_S


def test_a_broker_of_another_authority_is_not_trusted(
    secure_kafka: Stream, client: Client, opening: Opening, tmp_path: Path
) -> None:
    authority(tmp_path / "other.pem")
    began = time.monotonic()
    with pytest.raises(KafkaDenied, match=r"not trusted.*RAPT_KAFKA_CA_FILE"):
        opening(replace(secure_kafka.settings, ca_file=str(tmp_path / "other.pem")), client)
    assert time.monotonic() - began < PROMPT_S


def test_a_broker_under_another_name_is_not_trusted(secure_kafka: Stream, client: Client, opening: Opening) -> None:
    elsewhere = secure_kafka.settings.bootstrap.replace("127.0.0.1", "localhost")
    began = time.monotonic()
    with pytest.raises(KafkaDenied, match="not trusted"):
        opening(replace(secure_kafka.settings, bootstrap=elsewhere), client)
    assert time.monotonic() - began < PROMPT_S


def test_a_user_without_rights_neither_sends_nor_reads(secure_kafka: Stream, client: Client) -> None:
    topic = secure_kafka.topic(1)
    settings = replace(secure_kafka.settings, username=STRANGER)
    began = time.monotonic()
    with writing(settings, client) as writer, pytest.raises(KafkaDenied, match=f"'{STRANGER}' on topic '{topic}'"):
        writer.send(topic, b"k", b"v")
        writer.flush(PROMPT_S)
    with pytest.raises(KafkaDenied, match=f"'{STRANGER}' on topic '{topic}'"):
        consumer(settings, {(topic, 0): 0}, client)
    assert time.monotonic() - began < PROMPT_S


def test_a_reader_needs_no_right_to_a_group(secure_kafka: Stream, client: Client) -> None:
    topic = secure_kafka.topic(1)
    with writing(secure_kafka.settings, client) as writer:
        writer.send(topic, b"k", b"v")
        writer.flush(30)
    with reading(secure_kafka.settings, {(topic, 0): 0}, client) as reader:
        assert len(take(reader, 1)) == 1
        assert reader.poll(1, 1.0) == []


def test_a_missing_topic_is_named(stream: Stream, client: Client) -> None:
    began = time.monotonic()
    with writing(stream.settings, client) as writer, pytest.raises(UnknownTopic, match="no topic 'not-there'"):
        writer.send("not-there", b"k", b"v")
        writer.flush(PROMPT_S)
    with pytest.raises(UnknownTopic, match="no topic 'not-there'"):
        consumer(stream.settings, {("not-there", 0): 0}, client)
    admin = Admin(stream.settings)
    with pytest.raises(UnknownTopic, match="no topic 'not-there'"):
        admin.partitions("not-there")
    admin.close()
    assert time.monotonic() - began < PROMPT_S


def test_a_missing_partition_is_named(stream: Stream, client: Client) -> None:
    topic = stream.topic(2)
    with pytest.raises(UnknownTopic, match=f"no partition 2 of topic '{topic}'"):
        consumer(stream.settings, {(topic, 2): 0}, client)


@pytest.mark.slow
def test_an_address_where_nobody_listens_is_unavailable(client: Client, opening: Opening) -> None:
    began = time.monotonic()
    with pytest.raises(KafkaUnavailable, match=r"127\.0\.0\.1:9 \(PLAINTEXT\).*RAPT_KAFKA_BOOTSTRAP"):
        opening(KafkaSettings("127.0.0.1:9"), client)
    assert time.monotonic() - began < PROMPT_S
