"""The videos that came after training, in the object store: their records and features, for every model to come."""

from __future__ import annotations

import dataclasses
import logging
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from interest.features.content import Features, FeatureSettings
from interest.records import Video
from wire.errors import ObjectNotFound
from wire.objects import ObjectStore

LOG = logging.getLogger(__name__)
PREFIX = "feed"


class Library:
    """Keeps each video's record under its id, and features under what they were made of."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    def put(self, video: Video) -> None:
        """Keep a video whose `uri` lies in the store; the one of that id before it is replaced."""
        self.store.put_bytes(video_key(video.video_id), msgspec.json.encode(video))

    def videos(self) -> Iterator[Video]:
        """Every video, each as it is when its turn comes; a damaged record is told and passed over."""
        for key in self.store.list(f"{PREFIX}/videos/"):
            try:
                yield msgspec.json.decode(self.store.get_bytes(key), type=Video)
            except (ObjectNotFound, msgspec.DecodeError) as error:
                LOG.error("%s holds no video (%s); send its message again", self.store.uri(key), error)

    def keep_features(self, video: Video, settings: FeatureSettings, features: Features) -> None:
        """Keep what was made of a video with `settings`."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "features"
            # safetensors writes an array's memory as it lies: a transposed one would come back as another
            save_file({name: np.ascontiguousarray(value) for name, value in features.arrays().items()}, path)
            self.store.put_file(_features_key(video, settings), path)

    def features(self, video: Video, settings: FeatureSettings) -> Features | None:
        """What was made of these bytes and this caption with `settings`; None when nothing was yet."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "features"
            try:
                self.store.get_file(_features_key(video, settings), path)
                return Features.of(load_file(path))
            except (ObjectNotFound, SafetensorError):
                return None


def video_key(video_id: str) -> str:
    """Where the record of a video lies."""
    return f"{PREFIX}/videos/{sha256(video_id.encode()).hexdigest()}.json"


def _features_key(video: Video, settings: FeatureSettings) -> str:
    made_of = msgspec.json.encode([video.uri, video.caption, dataclasses.asdict(settings)])
    return f"{PREFIX}/features/{sha256(made_of).hexdigest()}.safetensors"
