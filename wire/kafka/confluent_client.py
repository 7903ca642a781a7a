"""What producer and consumer on confluent-kafka share: configuration, and noticing that we are denied."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import confluent_kafka
from confluent_kafka import KafkaException

from wire.errors import KafkaDenied, KafkaError, KafkaUnset
from wire.kafka import failures
from wire.kafka.settings import KafkaSettings

MECHANISM = "SCRAM-SHA-512"
ASK_S = 0.5
Code = confluent_kafka.KafkaError
MISSING = {Code.UNKNOWN_TOPIC_OR_PART, Code._UNKNOWN_TOPIC, Code._UNKNOWN_PARTITION}
FORBIDDEN = {Code.TOPIC_AUTHORIZATION_FAILED, Code.CLUSTER_AUTHORIZATION_FAILED, Code.GROUP_AUTHORIZATION_FAILED}


class Listed(Protocol):
    """A client of confluent-kafka that can be asked for the cluster's topics."""

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any: ...


Client = TypeVar("Client", bound=Listed)


def connected(make: Callable[[dict[str, Any]], Client], settings: KafkaSettings, options: dict[str, Any]) -> Client:
    """`make` (a class of confluent-kafka) connected by `settings`; raises KafkaDenied, KafkaUnavailable, KafkaUnset."""
    heard: list[Any] = []
    config = {
        "bootstrap.servers": settings.bootstrap,
        "client.id": "rapt",
        "reconnect.backoff.max.ms": 1000,
        "allow.auto.create.topics": False,
        "log_level": 0,
        "error_cb": heard.append,
        **security(settings),
        **options,
    }
    try:
        client = make(config)
    except KafkaException as error:
        raise KafkaUnset(f"confluent-kafka refuses the settings for {settings.bootstrap}: {error}") from error
    give_up_at = time.monotonic() + failures.CONNECT_S
    while True:
        try:
            client.list_topics(timeout=ASK_S)
        except KafkaException as error:
            for one in heard:
                if refusal := denied(settings, one):
                    raise refusal from error
            if time.monotonic() > give_up_at:
                raise failures.unavailable(settings, heard[-1] if heard else error) from error
            del heard[:-1]
        else:
            return client


def security(settings: KafkaSettings) -> dict[str, Any]:
    """confluent-kafka's options for TLS and SCRAM."""
    options: dict[str, Any] = {"security.protocol": settings.security.value}
    if settings.security.tls:
        options["ssl.endpoint.identification.algorithm"] = "https"
        if trusted := settings.trusted():
            options["ssl.ca.location"] = trusted
    if settings.security.sasl:
        options["sasl.mechanism"] = MECHANISM
        options["sasl.username"] = settings.username
        options["sasl.password"] = settings.password()
    return options


def denied(settings: KafkaSettings, error: Any) -> KafkaDenied | None:
    """The refusal that an error of the connection means, None when it may pass."""
    if error.code() == Code._AUTHENTICATION:
        return failures.not_accepted(settings, error.str())
    if error.code() == Code._SSL and "verif" in error.str():
        return failures.untrusted(settings, error.str())
    return None


def named(settings: KafkaSettings, topic: str, error: Any) -> KafkaError:
    """The named failure of an operation on a topic."""
    if error.code() in FORBIDDEN:
        return failures.not_allowed(settings, topic, error.str())
    if error.code() in MISSING:
        return failures.unknown_topic(settings, topic)
    return denied(settings, error) or KafkaError(
        f"Kafka at {settings.bootstrap} fails on topic {topic!r}: {error.name()}: {error.str()}"
    )
