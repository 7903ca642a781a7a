"""The feed as a worker: answers over HTTP at once, connects, follows, and goes on after failures around it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from pathlib import Path

from inference.catalogue_feed.feed import OURS, CatalogueFeed
from inference.catalogue_feed.intake import Intake, policy
from inference.catalogue_feed.library import Library
from inference.catalogue_feed.metrics import Metrics
from inference.catalogue_feed.progress import ProgressNote
from inference.catalogue_feed.served import ServedModel
from inference.http import serving, worker_routes
from wire.kafka import ALL, CONTENT, EARLIEST, VIDEOS, VIDEOS_DEAD, Admin, KafkaSettings, consumer, producer
from wire.objects import ObjectStore

LOG = logging.getLogger(__name__)
PAUSE_S = 1.0
"""Between a failure of broker or store and the next try."""
SETTLE_S = 3.0
"""At the end, for the videos that are at work; the others are done again by the next start."""


def run(host: str, port: int, pinned: str, ended: threading.Event, env: Mapping[str, str]) -> None:
    """Follow until `ended`; raises what no waiting mends: `PortTaken`, unset or malformed settings."""
    metrics = Metrics()
    metrics.status.waits_for = "broker and object store"
    worker = Worker(
        ObjectStore.from_env(env), KafkaSettings.from_env(env), data_folder(env), pinned, metrics, ended, env
    )
    routes = worker_routes(
        ready=lambda: metrics.status.waits_for, status=lambda: metrics.status, registry=metrics.registry
    )
    try:
        with serving(host, port, routes):
            worker.follow()
    finally:
        worker.close()


class Worker:
    """What outlives a connection: the loaded model, the decoding process, the counts."""

    def __init__(
        self,
        store: ObjectStore,
        kafka: KafkaSettings,
        folder: Path,
        pinned: str,
        metrics: Metrics,
        ended: threading.Event,
        env: Mapping[str, str],
    ) -> None:
        self.kafka, self.metrics, self.ended = kafka, metrics, ended
        self.library = Library(store)
        self.intake = Intake(store, self.library, policy(env), folder / "downloads")
        self.served = ServedModel(store, folder, pinned, self.intake.prepare)
        self.note = ProgressNote(store, pinned or "latest")

    def follow(self) -> None:
        """One connection after the other until `ended`."""
        while not self.ended.is_set():
            try:
                self._connection()
            except OURS as error:
                LOG.error("%s: %s; trying again", type(error).__name__, error)
                self.metrics.status.waits_for = str(error)
                self.ended.wait(PAUSE_S)

    def close(self) -> None:
        """End the decoding process."""
        self.intake.close()

    def _connection(self) -> None:
        feed = self._connected()
        try:
            while not self.ended.is_set():
                feed.step()
                self.metrics.status.waits_for = self.served.waits_for
            feed.settle(SETTLE_S)
        finally:
            feed.close()

    def _connected(self) -> CatalogueFeed:
        admin = Admin(self.kafka)
        try:
            admin.create(topic for topic in ALL if topic.name in {VIDEOS, VIDEOS_DEAD, CONTENT})
            partitions = admin.partitions(VIDEOS)
        finally:
            admin.close()
        offsets = self.note.read().offsets
        starts = {(VIDEOS, number): offsets.get(number, EARLIEST) for number in range(partitions)}
        sending = producer(self.kafka)
        try:
            reading = consumer(self.kafka, starts)
        except BaseException:
            sending.close()
            raise
        return CatalogueFeed(self.library, self.intake, self.served, reading, sending, self.note, self.metrics)


def data_folder(env: Mapping[str, str]) -> Path:
    """Where downloads and the model's bundle lie: RAPT_CACHE_DIR, else below RAPT_HOME, else the user's cache."""
    own, home = env.get("RAPT_CACHE_DIR"), env.get("RAPT_HOME")
    if own:
        return Path(own) / "catalogue-feed"
    if home:
        return Path(home) / "serving" / "catalogue-feed"
    return Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rapt" / "catalogue-feed"
