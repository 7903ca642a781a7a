"""The predictor as a KServe model: v2 tensors in, probabilities out, of the bundle that is wanted now."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import Gauge

from inference.new_videos import NewVideos
from inference.predictor import tensors
from inference.predictor.batches import Batches
from inference.protocol import Call
from inference.server.bundle_model import BundleModel
from inference.server.later import Count
from interest.bundle import Bundle
from interest.scoring import Scorer, flush_denormals
from interest.serving import Answer, Ask, BatchScorer
from wire.kafka import KafkaSettings
from wire.objects import ObjectStore

VIEWERS = Count("rapt_predictor_viewers", "Viewers' histories by whether their encoding was kept", ("cache",))
KEPT, ENCODED = VIEWERS.labels("hit"), VIEWERS.labels("miss")
UNKNOWN = Count("rapt_fallbacks", "Answers with a learned stand-in for something unknown", ("what",)).labels("video")
VIDEOS = Gauge("rapt_predictor_videos", "Videos in the catalogue", multiprocess_mode="livemax")


@dataclass(frozen=True)
class Loaded:
    """A bundle that serves: its graphs, and what keeps its catalogue growing."""

    scorer: BatchScorer
    new_videos: NewVideos | None

    @property
    def bundle(self) -> Bundle:
        return self.scorer.scorer.bundle

    def close(self) -> None:
        if self.new_videos is not None:
            self.new_videos.close()


class Predictor(BundleModel[Loaded]):
    """Answers with the bundle that is current when a batch begins."""

    INPUTS, OUTPUTS = tensors.INPUTS, tensors.OUTPUTS

    def __init__(self, name: str, store: ObjectStore, kafka: KafkaSettings | None, pinned: str = "") -> None:
        super().__init__(name, store, kafka, pinned)
        self.batches = Batches(self._score)
        self._videos = -1

    def load(self, bundle: Bundle) -> Loaded:
        scorer = Scorer(bundle)
        return Loaded(BatchScorer(scorer), self.new_videos(scorer))

    def scorer(self, current: Loaded) -> Scorer:
        return current.scorer.scorer

    async def begin(self) -> None:
        flush_denormals()
        await super().begin()

    async def infer(self, call: Call) -> Call:
        digest, answers = await self.batches.answer(tensors.asks(call))
        return tensors.answered(digest, answers)

    def _score(self, asks: list[Ask]) -> tuple[str, list[Answer]]:
        current = self.current()
        answers = current.scorer.answer(asks)
        self._count(current, answers)
        return current.bundle.digest, answers

    def _count(self, current: Loaded, answers: list[Answer]) -> None:
        counts = current.scorer.counts
        KEPT.note(counts.kept)
        ENCODED.note(counts.viewers - counts.kept)
        counts.viewers = counts.kept = 0
        strangers = sum(int(len(one.known) - one.known.sum()) for one in answers)
        if strangers:
            UNKNOWN.note(strangers)
        if (videos := len(current.scorer.scorer.catalogue)) != self._videos:
            self._videos = videos
            VIDEOS.set(videos)
