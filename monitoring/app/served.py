"""The served model in this process: its catalogue, which grows with the stream, and the records of its videos."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.catalogue import Videos
from inference.new_videos import NewVideos
from interest.records import Video
from interest.scoring import Scorer
from monitoring.app.clips import Clips
from monitoring.app.layers import Layers
from wire import models
from wire.kafka import KafkaSettings
from wire.objects import ObjectStore

NEWEST = 50
"""Videos that came last are among the candidates, however many there are."""


class Served:
    """A verified bundle with what came after it; new videos are followed where Kafka is known."""

    def __init__(self, store: ObjectStore, kafka: KafkaSettings | None, digest: str, cache: Path) -> None:
        """Raises ObjectStoreError, InvalidBundle."""
        self.store = store
        self.bundle = models.fetch_bundle(store, digest, cache)
        self.scorer = Scorer(self.bundle)
        self.videos = Videos(store, self.bundle)
        self.clips = Clips(store, self.bundle)
        self.layers = Layers(self.bundle)
        self._trained = len(self.scorer.catalogue)
        self._new = NewVideos(kafka, self.scorer) if kafka is not None else None
        self._records: dict[str, Video | None] = {}
        if self._new is not None:
            # It waits for the topic's end, and no page should.
            threading.Thread(target=self._new.start, name="new-videos-start", daemon=True).start()

    @property
    def digest(self) -> str:
        """The model's."""
        return self.bundle.digest

    def ids(self) -> list[str]:
        """All videos that it knows, those that came last at the end."""
        return list(self.scorer.catalogue.index)

    def later(self) -> list[str]:
        """Those that came after training."""
        return self.ids()[self._trained :]

    def content(self, video_ids: list[str]) -> NDArray[np.float32]:
        """What the model makes of videos that it knows, [n, M * C]."""
        catalogue = self.scorer.catalogue
        rows = catalogue.rows(video_ids)
        return catalogue.items.content[rows].reshape(len(rows), -1)

    def video(self, video_id: str) -> Video | None:
        """A video's record, kept once it was found; raises ObjectStoreError."""
        found = self._records.get(video_id)
        if found is None:
            found = self._records[video_id] = self.videos.of(video_id)
        return found

    def candidates(self, most: int, draw: int) -> list[str]:
        """At most so many videos to be scored: the newest, and others as `draw` chooses."""
        known = self.ids()
        if len(known) <= most:
            return known
        newest = known[-NEWEST:]
        chosen = np.random.default_rng(draw).choice(len(known) - NEWEST, most - NEWEST, replace=False)
        return [*newest, *(known[row] for row in sorted(chosen.tolist()))]

    def close(self) -> None:
        """End what follows the stream and decodes."""
        self.clips.close()
        if self._new is not None:
            self._new.close()
