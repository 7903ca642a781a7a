"""The pictures of a video that the model knows, by its id: decoded again from the bytes in the store."""

from __future__ import annotations

import tempfile
import threading
from functools import lru_cache, partial
from pathlib import Path

from inference.catalogue import Videos
from interest.bundle import Bundle
from interest.errors import InvalidVideo
from interest.features.frames import FrameSettings, read_frames
from interest.features.pictures import Pixels
from wire.errors import WireError
from wire.objects import ObjectStore
from wire.workers import Decoders

KEPT = 64


class NoPictures(Exception):
    """Why there is no picture of a video."""


class Frames:
    """Decodes in a process of its own, since files may be hostile; the last few videos are kept."""

    def __init__(self, store: ObjectStore, bundle: Bundle) -> None:
        self.store = store
        self.settings = FrameSettings(**bundle.manifest.get("feature_settings", {}).get("video", {}))
        self._videos = Videos(store, bundle)
        self._decoders = Decoders(1)
        self._turn = threading.Lock()
        self.of = lru_cache(KEPT)(self._of)

    def close(self) -> None:
        """End the decoding process."""
        self._decoders.__exit__()

    def _of(self, video_id: str) -> Pixels:
        """The pictures uint8 [W, T, S, S, 3] as the model saw them; raises NoPictures."""
        try:
            video = self._videos.of(video_id)
            if video is None:
                raise NoPictures("the video is in no catalogue")
            if not video.uri:
                raise NoPictures("the video has no file")
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "media"
                self.store.get_file(self.store.key(video.uri), path)
                with self._turn:
                    (found,) = self._decoders.read(partial(read_frames, settings=self.settings), [path])
        except WireError as error:
            raise NoPictures(str(error)) from error
        if isinstance(found, InvalidVideo):
            raise NoPictures(str(found))
        if found is None:
            raise NoPictures("the file has no pictures")
        return found
