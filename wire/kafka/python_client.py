"""What producer, consumer and admin on kafka-python share: configuration, and noticing that brokers deny us."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import kafka.errors
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from wire.errors import KafkaDenied, KafkaError
from wire.kafka import failures, limits
from wire.kafka.refusal import Refusal
from wire.kafka.settings import KafkaSettings

MECHANISM = "SCRAM-SHA-512"
RECONNECT_MAX_MS = 1000

T = TypeVar("T")


def connected(
    make: Callable[..., T],
    settings: KafkaSettings,
    refusal: Refusal,
    connect_s: float = limits.CONNECT_S,
    **options: Any,
) -> T:
    """`make` (a class of kafka-python) connected by `settings`; raises KafkaDenied, KafkaUnavailable, KafkaUnset.

    `refusal` goes on hearing what brokers say that deny us later.
    """
    failed: list[Exception] = []
    opened: list[KafkaNetClient] = []
    try:
        return make(
            bootstrap_servers=settings.bootstrap.split(","),
            client_id="rapt",
            bootstrap_timeout_ms=connect_s * 1000,
            reconnect_backoff_max_ms=RECONNECT_MAX_MS,
            kafka_client=partial(_client, settings, refusal, failed, opened),
            **security(settings),
            **options,
        )
    except (kafka.errors.KafkaError, OSError) as error:
        for client in opened:
            client.close()  # its thread would go on
        reason = failed[-1] if failed else error
        raise refusal.reason or failures.unavailable(settings, reason) from error


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
        return failures.not_accepted(settings, error.args[0] if error.args else type(error).__name__)
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
            f"topic {topic!r} holds records compressed in a way that kafka-python cannot read here ({error}): "
            "set RAPT_KAFKA_CLIENT=confluent"
        )
    return KafkaError(f"Kafka at {settings.bootstrap} fails on topic {topic!r}: {type(error).__name__}: {error}")


class _Manager(KafkaConnectionManager):  # type: ignore[misc]
    """Hears why connections fail, which kafka-python only logs, and never has a topic made by asking for it.

    The first connection ends at once when it is denied; left alone it is tried again for all of
    `bootstrap_timeout_ms` and then said to be a timeout.
    """

    def __init__(
        self,
        net: NetworkSelector,
        settings: KafkaSettings,
        refusal: Refusal,
        failed: list[Exception],
        **configs: Any,
    ) -> None:
        super().__init__(net, **configs)
        self.cluster.config["allow_auto_create_topics"] = False  # the clients' option does not get here (3.0.12)
        self._settings = settings
        self._refusal = refusal
        self._failed = failed

    def get_connection(self, *args: Any, **options: Any) -> Any:
        connection = super().get_connection(*args, **options)
        if connection.initializing:
            connection.init_future.add_errback(self._hear)
        return connection

    async def _build_transport(self, *args: Any, **options: Any) -> Any:
        transport = await super()._build_transport(*args, **options)
        transport._sock_recv = partial(_before_the_end, transport._sock_recv)
        return transport

    def _hear(self, error: Exception) -> None:
        self._failed[:] = [error]
        reason = denied(self._settings, error)
        if reason is not None:
            self._refusal.heard(reason)
            if not self.bootstrapped:
                self.closed = True


def _before_the_end(receive: Callable[[], tuple[bytes, Exception | None]]) -> tuple[bytes, Exception | None]:
    """What came before a connection's end, and the end only at the next call.

    kafka-python 3.0.12 drops what it received together with the end, so a broker's refusal, which is followed by
    the end at once, was heard or not by chance.
    """
    received, error = receive()
    return received, None if received else error


def _client(
    settings: KafkaSettings,
    refusal: Refusal,
    failed: list[Exception],
    opened: list[KafkaNetClient],
    **configs: Any,
) -> KafkaNetClient:
    net = NetworkSelector(**configs)
    opened.append(KafkaNetClient(net, _Manager(net, settings, refusal, failed, **configs)))
    return opened[-1]
