"""Ours as a user runs it: the laptop's whole stack on free ports, in a folder of its own, with one model published."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from benchmarks.material import Viewer
from benchmarks.peers.servers import Started
from interest.bundle import Bundle
from rapt import service, serving, stack
from rapt.settings import Settings
from tests.ports import free_ports
from wire.kafka import Client, KafkaSettings, Producer, producer
from wire.kafka.topics import EVENTS
from wire.models import publish_bundle
from wire.objects import ObjectStore

TIERS = ("transformer", "predictor")
FLUSH_S = 120.0
FULL_S = 0.01


@dataclass(frozen=True)
class Ours:
    """The running stack."""

    settings: Settings
    events: Producer

    @property
    def started(self) -> Started:
        """Both tiers, whose CPU time is that of a request."""
        pids = tuple(self.process(name).pid for name in TIERS)
        return Started("ours", self.settings.endpoint.removeprefix("http://"), pids)

    def send(self, viewers: Iterable[Viewer]) -> None:
        """All events of viewers, acknowledged when this returns."""
        for viewer in viewers:
            for event in viewer.events:
                while self.events.unacknowledged > 10_000:
                    time.sleep(FULL_S)
                self.events.send(EVENTS, viewer.user_id.encode(), msgspec.json.encode(event))
        self.events.flush(FLUSH_S)

    def process(self, name: str) -> psutil.Process:
        """One of the stack's processes."""
        found = service.find(name, self.settings.run_folder)
        assert found is not None, f"{name} has ended: {service.last_words(name, self.settings.run_folder)}"
        return found

    def predictor_ready_s(self) -> float:
        """Seconds from the start of one more predictor to its readiness, and end it."""
        other = msgspec.structs.replace(self.settings, serving_port=free_ports())
        folder = self.settings.run_folder / "second"
        backends = serving.backends(other, self.settings.environment() | self.settings.stream_environment())
        (one,) = (backend for backend in backends if backend.name == "predictor")
        begun = time.monotonic()
        service.start(one, folder, self.settings.start_deadline_s)
        took_s = time.monotonic() - begun
        service.stop(one.name, folder, self.settings.stop_grace_s)
        return took_s


@contextmanager
def ours(folder: Path, bundle: Bundle, kafka_bootstrap: str = "") -> Iterator[Ours]:
    """Start all of it with `bundle` published, on the laptop's broker or on a Kafka that runs, and end all of it."""
    settings = Settings(
        home=folder / "home", object_store_port=free_ports(), broker_port=free_ports(), serving_port=free_ports(),
        kafka_bootstrap=kafka_bootstrap,
    )  # fmt: skip
    try:
        with stack.ensure_up(settings) as environment:
            store = ObjectStore.from_env(environment)
            publish_bundle(store, bundle.folder, bundle.digest, folder / "none", published_at_ms=int(time.time() * 1e3))
        stack.up(settings)
        events = producer(KafkaSettings.from_env(settings.stream_environment()), Client.CONFLUENT)
        try:
            yield Ours(settings, events)
        finally:
            events.close()
    finally:
        stack.down(settings)
        shutil.rmtree(settings.state_folder, ignore_errors=True)
