"""The predictor as a KServe model: v2 tensors in, probabilities out, of the bundle that is wanted now."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Counter, Gauge

from inference.bundles import BundleFollower, cache_folder
from inference.errors import Unavailable
from inference.new_videos import NewVideos
from inference.predictor import tensors
from inference.predictor.batches import Batches
from inference.protocol import Call
from inference.server.model import ServedModel
from interest.bundle import Bundle
from interest.scoring import Scorer, flush_denormals
from interest.serving import Answer, Ask, BatchScorer
from wire.kafka import KafkaSettings
from wire.objects import ObjectStore

VIEWERS = Counter("rapt_predictor_viewers", "Viewers' histories by whether their encoding was kept", ("cache",))
UNKNOWN = Counter("rapt_fallbacks", "Answers with a learned stand-in for something unknown", ("what",))
VIDEOS = Gauge("rapt_predictor_videos", "Videos in the catalogue", multiprocess_mode="livemax")


@dataclass(frozen=True)
class Loaded:
    """A bundle that serves: its graphs, and what keeps its catalogue growing."""

    scorer: BatchScorer
    new_videos: NewVideos | None

    @property
    def bundle(self) -> Bundle:
        return self.scorer.scorer.bundle

    @staticmethod
    def of(bundle: Bundle, kafka: KafkaSettings | None) -> Loaded:
        """Load the graphs, and the videos that came after training; raises InvalidBundle."""
        scorer = Scorer(bundle)
        new_videos = NewVideos(kafka, scorer) if kafka is not None else None
        if new_videos is not None:
            new_videos.start()
        return Loaded(BatchScorer(scorer), new_videos)

    def close(self) -> None:
        if self.new_videos is not None:
            self.new_videos.close()


class Predictor(ServedModel):
    """Answers with the bundle that is current when a batch begins."""

    def __init__(self, name: str, store: ObjectStore, cache: Path, kafka: KafkaSettings | None, pinned: str) -> None:
        super().__init__(name)
        self.bundles = BundleFollower(store, cache, lambda bundle: Loaded.of(bundle, kafka), pinned=pinned)
        self.batches = Batches(self._score)

    @staticmethod
    def from_env(name: str, pinned: str = "") -> Predictor:
        """As the process's environment says."""
        kafka = KafkaSettings.from_env() if os.environ.get("RAPT_KAFKA_BOOTSTRAP") else None
        return Predictor(name, ObjectStore.from_env(), cache_folder(os.environ.get("RAPT_HOME")), kafka, pinned)

    async def begin(self) -> None:
        flush_denormals()
        self.bundles.start()

    async def end(self) -> None:
        self.bundles.stop()

    def missing(self) -> str:
        return "" if self.bundles.current is not None else self.bundles.waits

    def status(self) -> dict[str, object]:
        current = self.bundles.current
        videos = len(current.scorer.scorer.catalogue) if current is not None else 0
        return self.bundles.status() | {"videos": videos}

    async def infer(self, call: Call) -> Call:
        digest, answers = await self.batches.answer(tensors.asks(call))
        return tensors.answered(digest, answers)

    def get_input_types(self) -> list[dict[str, object]]:
        return [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in tensors.INPUTS.items()]

    def get_output_types(self) -> list[dict[str, object]]:
        return [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in tensors.OUTPUTS.items()]

    def _score(self, asks: list[Ask]) -> tuple[str, list[Answer]]:
        current = self.bundles.current
        if current is None:
            raise Unavailable(f"no model is served yet: it waits for {self.bundles.waits}")
        answers = current.scorer.answer(asks)
        self._count(current, answers)
        return current.bundle.digest, answers

    def _count(self, current: Loaded, answers: list[Answer]) -> None:
        counts = current.scorer.counts
        VIEWERS.labels("hit").inc(counts.kept)
        VIEWERS.labels("miss").inc(counts.viewers - counts.kept)
        counts.viewers = counts.kept = 0
        strangers = sum(int(len(one.known) - one.known.sum()) for one in answers)
        if strangers:
            UNKNOWN.labels("video").inc(strangers)
        VIDEOS.set(len(current.scorer.scorer.catalogue))
