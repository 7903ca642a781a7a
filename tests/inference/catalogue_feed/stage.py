"""What a test does around a feed: publish models, send messages, read topics, run the process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec
import numpy as np

from inference.catalogue_feed.metrics import Metrics, Status
from inference.catalogue_feed.worker import Worker
from interest.records import Content, Video
from tests.brokers import EmbeddedBroker
from tests.inference.catalogue_feed.material import CAPTIONS, Model
from tests.ports import free_ports
from tests.waiting import until
from tests.wire.web import Web, file
from wire.kafka import CONTENT, EARLIEST, VIDEOS, VIDEOS_DEAD, Admin, KafkaSettings, Record, Topic, consumer, producer
from wire.models import LATEST, publish_bundle
from wire.objects import ObjectStore

T = TypeVar("T")
DEADLINE_S = 60.0
START_S = 180.0
"""Torch takes its time to import on a busy machine."""
TOPICS = (Topic(VIDEOS, 1), Topic(VIDEOS_DEAD, 1), Topic(CONTENT, 1))


@dataclass(frozen=True)
class Stage:
    """`env` leads to the broker and the bucket of this test."""

    broker: EmbeddedBroker
    folder: Path
    web: Web
    env: dict[str, str]

    @property
    def kafka(self) -> KafkaSettings:
        return KafkaSettings.from_env(self.env)

    @property
    def own(self) -> dict[str, str]:
        """What only the feed is told."""
        return {"RAPT_HOME": str(self.folder / "home"), "RAPT_ALLOW_PRIVATE_ADDRESSES": self.web.place}

    @property
    def store(self) -> ObjectStore:
        return ObjectStore.from_env(self.env)

    def publish(self, model: Model, published_at_ms: int = 1) -> str:
        bundle = model.bundle
        publish_bundle(self.store, bundle.folder, bundle.digest, model.dataset, published_at_ms=published_at_ms)
        return bundle.digest

    def publish_damaged(self, model: Model) -> None:
        """The model with another last byte of its weights."""
        digest = model.bundle.digest
        for path in model.bundle.folder.iterdir():
            whole = path.read_bytes()
            flipped = whole[:-1] + bytes([whole[-1] ^ 1])
            self.store.put_bytes(f"models/{digest}/{path.name}", flipped if path.stem == "weights" else whole)
        self.store.put_bytes(LATEST, msgspec.json.encode({"digest": digest, "published_at_ms": 2}))

    def show(self, path: Path, at: str = "") -> str:
        """The address of a clip on the web."""
        name = f"/{at or path.name}"
        self.web.routes[name] = file(path.read_bytes(), etag=f'"{path.name}"')
        return self.web.url(name)

    def send(self, *messages: Video | bytes) -> None:
        admin = Admin(self.kafka)
        admin.create(TOPICS)
        admin.close()
        sending = producer(self.kafka)
        for message in messages:
            if isinstance(message, Video):
                sending.send(VIDEOS, message.video_id.encode(), msgspec.json.encode(message))
            else:
                sending.send(VIDEOS, b"", message)
        sending.flush(30)
        sending.close()

    def video(self, name: str, path: Path) -> Video:
        return Video(video_id=name, uri=self.show(path), caption=CAPTIONS[name], duration_s=0.0)

    def read(self, topic: str, enough: Callable[[list[Record]], bool]) -> list[Record]:
        """A topic's records from its beginning until there are enough."""
        admin = Admin(self.kafka)
        admin.create(TOPICS)
        admin.close()
        reading, found = consumer(self.kafka, {(topic, 0): EARLIEST}), []
        try:
            until(lambda: found.extend(reading.poll(100, 0.1)) or enough(found))
        finally:
            reading.close()
        return found

    def dead(self, count: int) -> list[Record]:
        """The first dead letters."""
        return self.read(VIDEOS_DEAD, lambda found: len(found) >= count)

    def contents(self, count: int) -> list[Content]:
        """The first contents."""
        return [content(record) for record in self.read(CONTENT, lambda found: len(found) >= count)]

    def contents_of(self, names: set[str]) -> list[Content]:
        """The contents up to where each of these videos has one."""
        wanted = {name.encode() for name in names}
        return [content(record) for record in self.read(CONTENT, lambda found: wanted <= {one.key for one in found})]

    @contextlib.contextmanager
    def worker(self, pinned: str = "", **variables: str) -> Iterator[Metrics]:
        """The feed on a thread of this process."""
        ended, metrics = threading.Event(), Metrics()
        worker = Worker(self.env | self.own | variables, pinned, metrics, ended)
        thread = threading.Thread(target=worker.follow)
        thread.start()
        try:
            yield metrics
        finally:
            ended.set()
            thread.join(DEADLINE_S)
            worker.close()
            assert not thread.is_alive()

    def process(self, *options: str) -> Process:
        return Process(self, options)


class Process:
    """`python -m inference.catalogue_feed`, started."""

    def __init__(self, stage: Stage, options: tuple[str, ...]) -> None:
        self.port = free_ports()
        self.log = stage.folder / f"feed-{self.port}.log"
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "inference.catalogue_feed", "--host", "127.0.0.1", "--port", str(self.port),
                 *options],
                env={**os.environ, **stage.env, **stage.own, "OMP_NUM_THREADS": "1"}, stdout=log, stderr=log,
            )  # fmt: skip

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.popen.kill()
        self.popen.wait()

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=10)

    def status(self) -> Status:
        return msgspec.json.decode(self.get("/status").content, type=Status)

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.popen.poll() is None, self.log.read_text()
            try:
                return self.get("/ready").status_code == 200
            except httpx.TransportError:
                return False

        until(ready, deadline_s=START_S)


def content(record: Record) -> Content:
    """A record of topic `content`."""
    made = msgspec.json.decode(record.value or b"", type=Content)
    assert record.key == made.video_id.encode()
    return made


def content_of(made: Content) -> np.ndarray:
    """Content float32 [M, C]."""
    return np.frombuffer(made.content, "<f4").reshape(3, -1)
