"""The records of the videos that a served model knows: those it learned from, and those that came later."""

from __future__ import annotations

import msgspec

from inference.catalogue_feed.library import video_key
from interest.bundle import Bundle
from interest.records import Video
from wire import models
from wire.errors import ObjectNotFound
from wire.objects import ObjectStore


class Videos:
    """Looks records up; `trained` holds the model's own, none for a bundle that came without its data."""

    def __init__(self, store: ObjectStore, bundle: Bundle) -> None:
        """Raises ObjectStoreError."""
        self.store = store
        self.trained = {video.video_id: video for video in models.catalog_of(store, bundle)}

    def of(self, video_id: str) -> Video | None:
        """A video's record; None when it is in no catalogue. Raises ObjectStoreError."""
        if video_id in self.trained:
            return self.trained[video_id]
        try:
            return msgspec.json.decode(self.store.get_bytes(video_key(video_id)), type=Video)
        except (ObjectNotFound, msgspec.DecodeError):
            return None
