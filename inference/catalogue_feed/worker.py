"""The feed as a worker: answers over HTTP at once, connects, follows, and goes on after failures around it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from functools import partial

from inference.bundles import BundleFollower, cache_folder
from inference.catalogue_feed.feed import OURS, CatalogueFeed
from inference.catalogue_feed.intake import Intake, policy
from inference.catalogue_feed.library import Library
from inference.catalogue_feed.metrics import Metrics
from inference.catalogue_feed.model import Model
from inference.catalogue_feed.progress import ProgressNote
from wire.http import serving, worker_routes
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
    worker = Worker(env, pinned, metrics, ended)
    routes = worker_routes(
        ready=lambda: metrics.status.waits_for, status=lambda: metrics.status, registry=metrics.registry
    )
    with serving(host, port, routes):
        try:
            worker.follow()
        finally:
            worker.close()


class Worker:
    """What outlives a connection: the loaded model, the decoding process, the counts."""

    def __init__(self, env: Mapping[str, str], pinned: str, metrics: Metrics, ended: threading.Event) -> None:
        store, folder = ObjectStore.from_env(env), cache_folder(env.get("RAPT_HOME"))
        self.kafka, self.metrics, self.ended = KafkaSettings.from_env(env), metrics, ended
        self.library = Library(store)
        self.intake = Intake(store, self.library, policy(env), folder / "downloads")
        load = partial(Model.of, prepare=self.intake.prepare)
        self.bundles = BundleFollower(store, folder, load, pinned=pinned, linger_s=0.0)
        self.note = ProgressNote(store, pinned or "latest")

    def follow(self) -> None:
        """One connection after the other until `ended`."""
        self.bundles.start()
        while not self.ended.is_set():
            try:
                self._connection()
            except OURS as error:
                LOG.error("%s: %s; trying again", type(error).__name__, error)
                self.metrics.status.waits_for = str(error)
                self.ended.wait(PAUSE_S)

    def close(self) -> None:
        """End following models, and the decoding process."""
        self.bundles.stop()
        self.intake.close()

    def _connection(self) -> None:
        feed = self._connected()
        try:
            while not self.ended.is_set():
                feed.step()
                self._tell()
            feed.settle(SETTLE_S)
        finally:
            feed.close()

    def _tell(self) -> None:
        status, refusals = self.metrics.status, self.bundles.refusals
        status.waits_for = "" if self.bundles.current is not None else self.bundles.waits
        status.refused_models, status.last_refused = refusals.count, refusals.last

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
        return CatalogueFeed(self.library, self.intake, self.bundles, reading, sending, self.note, self.metrics)
