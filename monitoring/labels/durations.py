"""How long videos are, which labels need: from the catalogues of the models that served, and from topic `content`."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import msgspec

from interest.errors import InterestError
from interest.records import Content
from wire import models
from wire.errors import WireError
from wire.objects import ObjectStore

LOG = logging.getLogger(__name__)
AGAIN_S = 60.0

_DECODER = msgspec.json.Decoder(Content)


class Durations:
    """Seconds by video; a model's catalogue is read when the first of its answers is met."""

    def __init__(self, store: ObjectStore, cache: Path) -> None:
        self.store, self.cache = store, cache
        self.rejected = 0
        self._seconds: dict[str, float] = {}
        self._again_at: dict[str, float] = {}

    def of(self, digest: str, video_id: str) -> float | None:
        """The length of a video, None when nobody tells it."""
        found = self._seconds.get(video_id)
        if found is None and time.monotonic() >= self._again_at.get(digest, 0.0):
            self._learn(digest)
            found = self._seconds.get(video_id)
        return found

    def take(self, body: bytes | None) -> None:
        """A record of topic `content`."""
        try:
            content = _DECODER.decode(body or b"")
        except msgspec.DecodeError:
            self.rejected += 1
            return
        self._seconds[content.video_id] = content.duration_s

    def _learn(self, digest: str) -> None:
        self._again_at[digest] = time.monotonic() + AGAIN_S
        try:
            table = models.fetch_bundle(self.store, digest, self.cache).catalogue()
        except (WireError, InterestError) as error:
            LOG.warning("no lengths of videos from model %s for now: %s", digest[:12], error)
            return
        self._again_at[digest] = float("inf")
        for video_id, seconds in zip(table.video_ids, table.duration_s.tolist(), strict=True):
            self._seconds.setdefault(video_id, seconds)
