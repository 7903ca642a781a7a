"""From nothing to a feeder that follows the stream: adopt or restore the state, wait for the brokers, follow."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TypeVar

from inference.feeder.feeder import Feeder
from inference.feeder.metrics import Status, registry
from inference.feeder.settings import FeederSettings
from inference.state import undo
from inference.state.apply import SlabWriter
from inference.state.checkpoint import Checkpointer
from inference.state.index import Index
from inference.state.layout import FILE, Phase, Word, layout_within
from inference.state.restore import restore
from inference.state.slab import Slab, adopt, create, lock, retire
from inference.state.store import StateWriter
from inference.state.valkey_store import ValkeyWriter
from wire.errors import KafkaUnavailable, ObjectStoreUnavailable, UnknownTopic, WireError
from wire.http import serving, worker_routes
from wire.kafka import Client, KafkaSettings
from wire.kafka.pulse import Pulse
from wire.objects import ObjectStore

LOG = logging.getLogger(__name__)
RETRY_S = 0.5
LAST_CHECKPOINT_S = 8.0
GARBAGE_OBJECTS = 50_000
"""More than a batch has, so that no batch is searched for cycles that are not in it."""
T = TypeVar("T")


def run(host: str, port: int, env: Mapping[str, str], ended: threading.Event) -> None:
    """Keep the state until `ended`; raises what a restart does not mend (InferenceError, WireError)."""
    settings = FeederSettings.from_env(env)
    kafka = KafkaSettings.from_env(env)
    client = Client(env.get("RAPT_KAFKA_CLIENT") or Client.CONFLUENT)
    status = Status(waits_for="the state")
    routes = worker_routes(ready=lambda: status.waits_for, status=lambda: status, registry=registry(status))
    with ExitStack() as stack:
        stack.enter_context(serving(host, port, routes))
        pulse = Pulse(kafka)
        stack.callback(pulse.stop)
        if settings.valkey:
            pulse.start()
            _follow(ValkeyWriter(settings.valkey), None, kafka, client, pulse, status, settings, ended)
            return
        store = ObjectStore.from_env(env)
        stack.callback(os.close, lock(settings.folder))
        opened = _open(settings, store, status, ended)
        if opened is None:
            return
        writer, checkpointer = opened
        status.capacity, status.state_bytes = writer.slab.capacity, writer.slab.size_bytes
        pulse.start()
        try:
            whole = _follow(writer, checkpointer, kafka, client, pulse, status, settings, ended)
        finally:
            checkpointer.close()
        writer.slab.let_go()
        if whole:
            retire(settings.folder / FILE)


def _open(
    settings: FeederSettings, store: ObjectStore, status: Status, ended: threading.Event
) -> tuple[SlabWriter, Checkpointer] | None:
    """The slab of a feeder that died here, or a new one filled from the newest checkpoint; None when `ended`."""
    began = time.monotonic()
    layout = layout_within(settings.memory_mib << 20)
    slab = adopt(settings.folder, layout)
    last_ms = 0
    if slab is not None:
        undo.repair(slab, Index(slab))
        status.restored = f"{slab.words[Word.VIEWERS]} viewers from the memory of the feeder before"
    else:
        slab = create(settings.folder, layout)
        found = _restored(slab, store, status, ended)
        if found is None:
            slab.let_go()
            return None
        last_ms = found
        slab.words[Word.STATE] = Phase.SERVING
    LOG.info("%s in %.2f s", status.restored, time.monotonic() - began)
    writer = SlabWriter(slab, 0)
    return writer, Checkpointer(writer, store, settings.checkpoint_s, last_ms)


def _restored(slab: Slab, store: ObjectStore, status: Status, ended: threading.Event) -> int | None:
    """When the checkpoint was made that the slab is filled from, 0 when there is none; None when `ended`."""
    found = _until(lambda: restore(slab, store), status, "the object store", ended)
    if found is None:
        return None
    status.checkpoints_damaged = found.damaged
    damaged = f", {found.damaged} newer ones were damaged" if found.damaged else ""
    if found.manifest is None:
        status.restored = f"no viewers: there is no checkpoint{damaged}"
        return 0
    status.restored = f"{slab.words[Word.VIEWERS]} viewers from a checkpoint{damaged}"
    return found.manifest.created_ms


def _follow(
    writer: StateWriter,
    checkpointer: Checkpointer | None,
    kafka: KafkaSettings,
    client: Client,
    pulse: Pulse,
    status: Status,
    settings: FeederSettings,
    ended: threading.Event,
) -> bool:
    """Follow until `ended`; whether the state is whole in a checkpoint then."""
    status.waits_for = "the brokers"
    while not pulse.partitions and not ended.wait(0.02):
        status.waits_for = f"the brokers: {pulse.problem}" if pulse.problem else "the brokers"
    writer.partitions = status.partitions = pulse.partitions
    feeder = None
    if not ended.is_set():
        feeder = _until(
            lambda: Feeder(writer, kafka, client, pulse, status, settings.ready_lag, checkpointer),
            status, "the brokers", ended,
        )  # fmt: skip
    if feeder is not None:
        gc.freeze()
        gc.set_threshold(GARBAGE_OBJECTS)
        try:
            feeder.run(ended)
        finally:
            status.waits_for = "nothing: it ends"
            feeder.close()
    return checkpointer is not None and checkpointer.finish(LAST_CHECKPOINT_S)


def _until(attempt: Callable[[], T], status: Status, what: str, ended: threading.Event) -> T | None:
    """What `attempt` gives when the other side is there; None when `ended` before."""
    while not ended.is_set():
        try:
            return attempt()
        except (KafkaUnavailable, ObjectStoreUnavailable, UnknownTopic) as error:
            _tell(status, what, error)
            ended.wait(RETRY_S)
    return None


def _tell(status: Status, what: str, error: WireError) -> None:
    LOG.warning("waiting for %s: %s", what, error)
    status.waits_for = f"{what}: {error}"
