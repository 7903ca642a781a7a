"""The pictures of a video that the model knows, by its id: decoded again from the bytes in the store."""

from __future__ import annotations

import tempfile
import threading
from functools import lru_cache, partial
from pathlib import Path

import msgspec

from inference.catalogue_feed.library import video_key
from interest.bundle import Bundle
from interest.catalog import VIDEOS, read_jsonl
from interest.errors import InvalidVideo
from interest.features.frames import FrameSettings, read_frames
from interest.features.pictures import Pixels
from interest.records import Video
from wire.errors import ObjectNotFound, WireError
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
        self._trained_on = self._videos(bundle)
        self._decoders = Decoders(1)
        self._turn = threading.Lock()
        self.of = lru_cache(KEPT)(self._of)

    def close(self) -> None:
        """End the decoding process."""
        self._decoders.__exit__()

    def _of(self, video_id: str) -> Pixels:
        """The pictures uint8 [W, T, S, S, 3] as the model saw them; raises NoPictures."""
        uri = self._uri(video_id)
        if not uri:
            raise NoPictures("the video has no file")
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "media"
                self.store.get_file(self.store.key(uri), path)
                with self._turn:
                    (found,) = self._decoders.read(partial(read_frames, settings=self.settings), [path])
        except WireError as error:
            raise NoPictures(str(error)) from error
        if isinstance(found, InvalidVideo):
            raise NoPictures(str(found))
        if found is None:
            raise NoPictures("the file has no pictures")
        return found

    def _uri(self, video_id: str) -> str:
        if video_id in self._trained_on:
            return self._trained_on[video_id]
        try:
            return msgspec.json.decode(self.store.get_bytes(video_key(video_id)), type=Video).uri
        except (ObjectNotFound, msgspec.DecodeError) as error:
            raise NoPictures("the video is in no catalogue") from error

    def _videos(self, bundle: Bundle) -> dict[str, str]:
        """Where the videos that the model learned from lie; none for a bundle that came without its data."""
        dataset = bundle.manifest.get("data", {}).get("dataset")
        if not dataset:
            return {}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / VIDEOS
            try:
                self.store.get_file(f"datasets/{dataset}/{VIDEOS}", path)
            except ObjectNotFound:
                return {}
            return {video.video_id: video.uri for video in read_jsonl(path, Video)}
