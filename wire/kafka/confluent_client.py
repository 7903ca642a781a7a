"""What producer and consumer on confluent-kafka share: configuration, and noticing that brokers deny us."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException

from wire.errors import KafkaDenied, KafkaError, KafkaUnset
from wire.kafka import failures, limits
from wire.kafka.refusal import Refusal
from wire.kafka.settings import KafkaSettings

MECHANISM = "SCRAM-SHA-512"
ASK_S = 0.25
MISSING = {Code.UNKNOWN_TOPIC_OR_PART, Code._UNKNOWN_TOPIC, Code._UNKNOWN_PARTITION}
FORBIDDEN = {Code.TOPIC_AUTHORIZATION_FAILED, Code.CLUSTER_AUTHORIZATION_FAILED}

T = TypeVar("T")


class Heard:
    """What a client of confluent-kafka says about its connections: `fatal` ends it, the rest it tries to mend."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        self.refusal = Refusal()
        self.last: Any = None
        self.fatal: Any = None

    def __call__(self, error: Any) -> None:
        self.last = error
        if error.fatal():
            self.fatal = error
        if reason := denied(self.settings, error):
            self.refusal.heard(reason)


def connected(make: Callable[..., T], settings: KafkaSettings, heard: Heard, options: dict[str, Any]) -> T:
    """`make` (a class of confluent-kafka) connected by `settings`; raises KafkaDenied, KafkaUnavailable, KafkaUnset."""
    config = {
        "bootstrap.servers": settings.bootstrap,
        "client.id": "rapt",
        "reconnect.backoff.max.ms": 1000,
        "allow.auto.create.topics": False,
        "log_level": 2,  # `heard` tells the rest
        "error_cb": heard,
        **security(settings),
        **options,
    }
    try:
        client: Any = make(config, logger=logging.getLogger("confluent_kafka"))
    except KafkaException as error:
        raise KafkaUnset(f"confluent-kafka refuses the settings for {settings.bootstrap}: {error}") from error
    give_up_at = time.monotonic() + limits.CONNECT_S
    while True:
        try:
            client.list_topics(timeout=ASK_S)
        except KafkaException as error:
            client.poll(0)  # calls `heard`
            if heard.refusal.reason is not None:
                raise heard.refusal.reason from error
            if time.monotonic() > give_up_at:
                raise failures.unavailable(settings, (heard.last or error.args[0]).str()) from error
        else:
            return client  # type: ignore[no-any-return]


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
    if error.code() in FORBIDDEN or "authorization failed" in error.str():
        return failures.not_allowed(settings, topic, error.str())
    if error.code() in MISSING:
        return failures.unknown_topic(settings, topic)
    return denied(settings, error) or KafkaError(
        f"Kafka at {settings.bootstrap} fails on topic {topic!r}: {error.name()}: {error.str()}"
    )
