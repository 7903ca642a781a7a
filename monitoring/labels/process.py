"""From nothing to a joiner that follows the stream: wait for store and brokers, take over, follow."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TypeVar

from monitoring.labels.durations import Durations
from monitoring.labels.joiner import Joiner, check_partitions
from monitoring.labels.ledger import Ledger
from monitoring.labels.metrics import Status, registry
from monitoring.labels.probe import Probe, partitions
from monitoring.labels.retention import Retention
from monitoring.labels.settings import LabelSettings
from wire.errors import KafkaUnavailable, ObjectStoreUnavailable, UnknownTopic
from wire.http import serving, worker_routes
from wire.kafka import Client, KafkaSettings
from wire.objects import ObjectStore

LOG = logging.getLogger(__name__)
RETRY_S = 0.5
STORE_DEADLINE_S = 5.0
"""How long one attempt to write may take: meanwhile nothing is read, and the process does not end."""
GARBAGE_OBJECTS = 100_000
T = TypeVar("T")


def run(host: str, port: int, env: Mapping[str, str], ended: threading.Event) -> None:
    """Join until `ended`; raises what a restart does not mend (LabelsError, WireError)."""
    settings, kafka = LabelSettings.from_env(env), KafkaSettings.from_env(env)
    client = Client(env.get("RAPT_KAFKA_CLIENT") or Client.CONFLUENT)
    store = ObjectStore.from_env(env)
    store.deadline_s = min(store.deadline_s, STORE_DEADLINE_S)
    status = Status(waits_for="the object store")
    routes = worker_routes(ready=lambda: status.waits_for, status=lambda: status, registry=registry(status))
    with ExitStack() as stack:
        stack.enter_context(serving(host, port, routes))
        durations, retention = Durations(store, kafka), Retention(store, settings.keep_days)
        for part in (durations, retention):
            part.start()
            stack.callback(part.stop)
        gc.set_threshold(GARBAGE_OBJECTS)
        while _follow(settings, kafka, client, store, durations, status, ended):
            LOG.info("beginning again from the last commit")


def _follow(
    settings: LabelSettings, kafka: KafkaSettings, client: Client, store: ObjectStore, durations: Durations,
    status: Status, ended: threading.Event,
) -> bool:  # fmt: skip
    """Join from the last commit on; whether to begin again, since the topics have other partitions."""
    ledger, probe = Ledger(store), Probe(kafka, client)
    found = _until(lambda: partitions(kafka), status, "the brokers", ended)
    if found is None:
        return False
    check_partitions(found)
    head = _until(lambda: ledger.take_over(settings.window_ms, ended), status, "the object store", ended)
    if head is None:
        return False
    LOG.info("going on from commit %d with %d partitions", head.seq, found[0])
    joiner = _until(
        lambda: Joiner(settings, head, found[0], kafka, client, ledger, durations, probe, status),
        status, "the brokers", ended,
    )  # fmt: skip
    if joiner is None:
        return False
    probe.start()
    try:
        return joiner.run(ended)
    finally:
        status.waits_for = "nothing: it ends"
        probe.stop()
        joiner.close()


def _until(attempt: Callable[[], T], status: Status, what: str, ended: threading.Event) -> T | None:
    """What `attempt` gives when the other side is there; None when `ended` before."""
    while not ended.is_set():
        try:
            return attempt()
        except (KafkaUnavailable, ObjectStoreUnavailable, UnknownTopic) as error:
            LOG.warning("waiting for %s: %s", what, error)
            status.waits_for = f"{what}: {error}"
            ended.wait(RETRY_S)
    return None
