"""Opens a producer or a consumer with the client library that the settings or the caller choose."""

from __future__ import annotations

from collections.abc import Mapping

from wire.kafka import limits
from wire.kafka.admin import Admin
from wire.kafka.records import Consumer, Producer
from wire.kafka.settings import Client, KafkaSettings


def producer(settings: KafkaSettings, client: Client | None = None, *, linger_ms: int = limits.LINGER_MS) -> Producer:
    """A connected producer; raises KafkaUnavailable, KafkaDenied or KafkaUnset within about 10 s.

    Records wait `linger_ms` for others of their batch. On the embedded broker a batch is sent until it is
    acknowledged, one at a time: order is kept, but what was on its way when the broker was killed may be there twice.
    """
    admin = Admin(settings)
    try:
        idempotent = admin.idempotent()
    finally:
        admin.close()
    if (client or settings.client) is Client.CONFLUENT:
        from wire.kafka.confluent_producer import ConfluentProducer

        return ConfluentProducer(settings, idempotent=idempotent, linger_ms=linger_ms)
    from wire.kafka.python_producer import PythonProducer

    return PythonProducer(settings, idempotent=idempotent, linger_ms=linger_ms)


def consumer(
    settings: KafkaSettings,
    starts: Mapping[tuple[str, int], int],
    client: Client | None = None,
    *,
    wait_ms: int = limits.FETCH_WAIT_MS,
) -> Consumer:
    """A connected consumer of the (topic, partition)s in `starts`, from those offsets (or EARLIEST).

    With nothing to read, the broker is asked again after `wait_ms`.
    Raises KafkaUnavailable, KafkaDenied, UnknownTopic or KafkaUnset within about 10 s.
    """
    if (client or settings.client) is Client.CONFLUENT:
        from wire.kafka.confluent_consumer import ConfluentConsumer

        return ConfluentConsumer(settings, starts, wait_ms)
    from wire.kafka.python_consumer import PythonConsumer

    return PythonConsumer(settings, starts, wait_ms)
