"""What producer, consumer and admin on kafka-python share: configuration, and noticing that we are denied."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, TypeVar

import kafka.errors
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from wire.errors import KafkaDenied, KafkaError
from wire.kafka import failures
from wire.kafka.settings import KafkaSettings

MECHANISM = "SCRAM-SHA-512"
RECONNECT_MAX_MS = 1000

T = TypeVar("T")


def connected(
    make: Callable[..., T], settings: KafkaSettings, connect_s: float = failures.CONNECT_S, **options: Any
) -> T:
    """`make` (a class of kafka-python) connected by `settings`; raises KafkaDenied, KafkaUnavailable, KafkaUnset."""
    noticed: list[Exception] = []
    try:
        return make(
            bootstrap_servers=settings.bootstrap.split(","),
            client_id="rapt",
            bootstrap_timeout_ms=connect_s * 1000,
            reconnect_backoff_max_ms=RECONNECT_MAX_MS,
            kafka_client=lambda **configs: _client(noticed, **configs),
            **security(settings),
            **options,
        )
    except (kafka.errors.KafkaError, OSError) as error:
        cause = noticed[-1] if noticed else error
        raise denied(settings, cause) or failures.unavailable(settings, cause) from error


def security(settings: KafkaSettings) -> dict[str, Any]:
    """kafka-python's options for TLS and SCRAM."""
    options: dict[str, Any] = {"security_protocol": settings.security.value}
    if settings.security.tls:
        options["ssl_context"] = ssl.create_default_context(cafile=settings.trusted())
    if settings.security.sasl:
        options["sasl_mechanism"] = MECHANISM
        options["sasl_plain_username"] = settings.username
        options["sasl_plain_password"] = settings.password()
    return options


def denied(settings: KafkaSettings, error: Exception) -> KafkaDenied | None:
    """The refusal that a connection's failure means, None when it may pass."""
    if isinstance(error, kafka.errors.SaslAuthenticationFailedError | kafka.errors.UnsupportedSaslMechanismError):
        return failures.not_accepted(settings, error)
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return failures.untrusted(settings, error)
    return None


def named(settings: KafkaSettings, topic: str, error: BaseException) -> KafkaError:
    """The named failure of an operation on a topic."""
    if isinstance(error, kafka.errors.AuthorizationError):
        return failures.not_allowed(settings, topic, type(error).__name__)
    if isinstance(error, kafka.errors.UnknownTopicOrPartitionError):
        return failures.unknown_topic(settings, topic)
    if isinstance(error, kafka.errors.UnsupportedCodecError):
        return KafkaError(
            f"topic {topic!r} holds records compressed in a way that kafka-python lacks ({error}): "
            "set RAPT_KAFKA_CLIENT=confluent"
        )
    return KafkaError(f"Kafka at {settings.bootstrap} fails on topic {topic!r}: {type(error).__name__}: {error}")


class _Manager(KafkaConnectionManager):  # type: ignore[misc]
    """Notes why connections fail, which kafka-python only logs, and stops connecting when a broker denies us.

    Left alone the first connection is tried again for the whole of `bootstrap_timeout_ms`.
    """

    def __init__(self, net: NetworkSelector, noticed: list[Exception], **configs: Any) -> None:
        super().__init__(net, **configs)
        self._noticed = noticed

    def get_connection(self, node_id: Any, *args: Any, **options: Any) -> Any:
        connection = super().get_connection(node_id, *args, **options)
        if connection.initializing:
            connection.init_future.add_errback(self._note)
        return connection

    def _note(self, error: Exception) -> None:
        self._noticed.append(error)
        del self._noticed[:-1]
        refused = isinstance(error, kafka.errors.SaslAuthenticationFailedError) or "CERTIFICATE_VERIFY" in str(error)
        if refused and self.broker_version_data is None:
            self.closed = True


def _client(noticed: list[Exception], **configs: Any) -> KafkaNetClient:
    net = NetworkSelector(**configs)
    return KafkaNetClient(net=net, manager=_Manager(net, noticed, **configs))
