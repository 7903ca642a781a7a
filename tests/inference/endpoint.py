"""The serving side for tests: object store, broker, feeder, predictor, explainer, transformer, and a small model."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

from interest.bundle import Bundle
from interest.records import Event, Kind
from rapt import service, serving, stack
from rapt.client import Client
from rapt.service import Service
from rapt.settings import Settings
from tests.ports import free_ports
from wire import models
from wire.kafka import EARLIEST, EVENTS, Admin, KafkaSettings, Record, consumer, producer
from wire.kafka import Client as KafkaClient
from wire.objects import ObjectStore

DEADLINE_S = 120.0


@dataclass(frozen=True)
class Endpoint:
    """What runs, and how to speak to it."""

    settings: Settings
    services: dict[str, Service]
    bundle: Bundle

    @property
    def url(self) -> str:
        return self.settings.endpoint

    @property
    def client(self) -> Client:
        return Client(self.url, timeout_s=30)

    @property
    def store(self) -> ObjectStore:
        return ObjectStore.from_env(self.settings.environment())

    @property
    def kafka(self) -> KafkaSettings:
        return KafkaSettings.from_env(self.settings.stream_environment())

    def post(self, path: str, body: bytes, **headers: str) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", content=body, headers=headers, timeout=30)

    def status(self, name: str) -> dict[str, object]:
        return serving.document(f"{self.services[name].address}/status") or {}

    def pid(self, name: str) -> int:
        process = service.find(name, self.settings.run_folder)
        assert process is not None, service.last_words(name, self.settings.run_folder)
        return process.pid

    def kill(self, name: str) -> None:
        """End a process as a power cut would."""
        process = service.find(name, self.settings.run_folder)
        assert process is not None
        process.kill()
        process.wait()

    def start(self, name: str) -> None:
        """Start it again and wait until it is ready."""
        service.start(self.services[name], self.settings.run_folder, DEADLINE_S)

    def send(self, events: Sequence[Event]) -> None:
        """Events, acknowledged when this returns."""
        sender = producer(self.kafka, KafkaClient.CONFLUENT)
        for event in events:
            sender.send(EVENTS, event.user_id.encode(), msgspec.json.encode(event))
        sender.flush(DEADLINE_S)
        sender.close()

    def read_all(self, topic: str) -> list[Record]:
        """Every record of a topic up to now."""
        admin = Admin(self.kafka)
        starts = {(topic, partition): EARLIEST for partition in range(admin.partitions(topic))}
        admin.close()
        source = consumer(self.kafka, starts, KafkaClient.CONFLUENT)
        found: list[Record] = []
        give_up_at = time.monotonic() + DEADLINE_S
        try:
            while time.monotonic() < give_up_at:
                found += source.poll(1000, 0.2)
                if all(lag == 0 for lag in source.lags().values()):
                    return found
        finally:
            source.close()
        raise AssertionError(f"{topic} was not read to its end")

    def publish(self, bundle: Bundle) -> None:
        """Make this the model that is wanted."""
        models.publish_bundle(
            self.store, bundle.folder, bundle.digest, Path("/nonexistent"), published_at_ms=time.time_ns() // 1_000_000
        )


def watched(user_id: str, video_id: str, number: int, ts_ms: int, watch_ms: int = 9000) -> Event:
    """A viewer's watch, with an id of its own."""
    return Event(
        event_id=f"{user_id}-{number}", user_id=user_id, video_id=video_id, request_id=f"r-{user_id}-{number}",
        ts_ms=ts_ms, kind=Kind.WATCH, watch_ms=watch_ms,
    )  # fmt: skip


@contextmanager
def running(folder: Path, bundle: Bundle, **changes: object) -> Iterator[Endpoint]:
    """All of it but the catalogue feed, which has tests of its own; ended afterwards."""
    settings = Settings(
        home=folder, object_store_port=free_ports(), broker_port=free_ports(), serving_port=free_ports(),
        state_memory_mib=16, state_checkpoint_s=2.0, start_deadline_s=DEADLINE_S, **changes,
    )  # fmt: skip
    wanted = {one.name: one for one in stack.services(settings) if one.name != "catalogue-feed"}
    endpoint = Endpoint(settings, wanted, bundle)
    kept = dict(os.environ)
    try:
        endpoint.start("object-store")
        endpoint.publish(bundle)
        endpoint.start("broker")
        stack.make_topics(settings)
        for name in ("feeder", "predictor", "explainer"):
            service.launch(wanted[name], settings.run_folder)
        for name in ("feeder", "predictor", "explainer", "transformer"):
            endpoint.start(name)
        yield endpoint
    finally:
        os.environ.clear()
        os.environ.update(kept)
        stack.down(settings)
