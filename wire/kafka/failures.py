"""The words of the stream's failures, the same whichever client is underneath."""

from __future__ import annotations

from collections.abc import Sequence

from wire.errors import (
    BufferFull,
    DeliveryFailed,
    KafkaDenied,
    KafkaError,
    KafkaUnavailable,
    OffsetGone,
    RecordTooLarge,
    UnknownTopic,
)
from wire.kafka.limits import MAX_RECORD_BYTES
from wire.kafka.records import Headers
from wire.kafka.settings import KafkaSettings


def unavailable(settings: KafkaSettings, reason: object) -> KafkaUnavailable:
    """No broker answers."""
    return KafkaUnavailable(
        f"no Kafka broker answers at {settings.bootstrap} ({settings.security}): {reason}; "
        "is it running, and are RAPT_KAFKA_BOOTSTRAP and RAPT_KAFKA_SECURITY right? Try `rapt status`, `rapt up`"
    )


def untrusted(settings: KafkaSettings, reason: object) -> KafkaDenied:
    """The broker's certificate does not come from the authorities that we know, or is not for its name."""
    authorities = (
        f"RAPT_KAFKA_CA_FILE={settings.ca_file!r}" if settings.ca_file else "the system's (no _CA_FILE is set)"
    )
    return KafkaDenied(
        f"the certificate of the Kafka broker at {settings.bootstrap} is not trusted: {reason}; "
        f"the authorities are {authorities}: set RAPT_KAFKA_CA_FILE to the cluster's CA in PEM"
    )


def not_accepted(settings: KafkaSettings, reason: object) -> KafkaDenied:
    """The broker does not accept user and password."""
    return KafkaDenied(
        f"Kafka at {settings.bootstrap} does not accept user {settings.username!r}: {reason}; "
        "check RAPT_KAFKA_USERNAME and the password in RAPT_KAFKA_PASSWORD_FILE"
    )


def not_allowed(settings: KafkaSettings, topic: str, reason: object) -> KafkaDenied:
    """The user has no right to do this on the topic."""
    user = f"user {settings.username!r}" if settings.username else "an anonymous user"
    return KafkaDenied(
        f"Kafka at {settings.bootstrap} does not allow this to {user} on topic {topic!r}: {reason}; "
        "give the user the right to read or write and describe there (KafkaUser in Strimzi, ACLs elsewhere)"
    )


def unknown_topic(settings: KafkaSettings, topic: str, partition: int | None = None) -> UnknownTopic:
    """The brokers do not have the topic, or not that partition of it."""
    what = f"topic {topic!r}" if partition is None else f"partition {partition} of topic {topic!r}"
    return UnknownTopic(
        f"Kafka at {settings.bootstrap} has no {what}: make it (Admin.create, or KafkaTopic in Strimzi), "
        "or check the name"
    )


def offset_gone(topic: str, partition: int, offset: int) -> OffsetGone:
    """What comes next is not in the log."""
    return OffsetGone(
        f"offset {offset} of partition {partition} of topic {topic!r} is not in the log: retention deleted it, "
        "or the topic was made anew; start at EARLIEST, knowing that records between are lost",
        topic,
        partition,
    )


def buffer_full(settings: KafkaSettings, waiting: int) -> BufferFull:
    """The producer has no room."""
    return BufferFull(
        f"{waiting} records wait for Kafka at {settings.bootstrap}, which is slow or away: "
        "this one was not taken, send it later"
    )


def checked_size(topic: str, key: bytes, value: bytes | None, headers: Headers) -> int:
    """The bytes of a record; raises RecordTooLarge for what brokers refuse."""
    size = len(key) + len(value or b"")
    if headers:
        size += sum(len(name) + len(content) for name, content in headers)
    if size > MAX_RECORD_BYTES:
        raise RecordTooLarge(
            f"a record of {size} bytes for topic {topic!r} (key {key[:40]!r}) is over the limit of "
            f"{MAX_RECORD_BYTES}: store the content as an object and send its address"
        )
    return size


def raise_undelivered(lost: Sequence[KafkaError], waiting: int, timeout_s: float, refusal: KafkaDenied | None) -> None:
    """Raise what a flush has to say, when records were given up or still wait after `timeout_s`."""
    if lost:
        kind = type(lost[0]) if isinstance(lost[0], KafkaDenied | UnknownTopic) else DeliveryFailed
        raise kind(f"{len(lost)} records were not acknowledged, the first because: {lost[0]}")
    if waiting:
        why = f"; a broker said: {refusal}" if refusal else ": Kafka is slow or away, flush again later"
        raise DeliveryFailed(f"{waiting} records are not acknowledged after {timeout_s:g} s{why}")
