"""A video's pictures and sound as the model gets them, decoded again from the bytes in the store."""

from __future__ import annotations

import tempfile
import threading
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from interest.bundle import Bundle
from interest.errors import InvalidVideo
from interest.features.audio import AudioSettings, Sound, read_sound
from interest.features.frames import FrameSettings, read_frames
from interest.features.pictures import Pixels
from interest.records import Video
from wire.errors import InvalidObjectName, ObjectNotFound
from wire.objects import ObjectStore
from wire.workers import Decoders

KEPT = 32
MOST_PLAYED_BYTES = 64 << 20
"""Larger files are not handed to the browser."""


@dataclass(frozen=True, eq=False)
class Clip:
    """`frames` uint8 [W, T, S, S, 3] and `sound` float32 [W, N]; None where the file has none, with the reason."""

    frames: Pixels | None
    sound: Sound | None
    no_frames: str = ""
    no_sound: str = ""


class Clips:
    """Decodes in a process of its own, since files may be hostile; what was decoded last is kept."""

    def __init__(self, store: ObjectStore, bundle: Bundle) -> None:
        self.store = store
        made = bundle.manifest.get("feature_settings", {})
        self.video = FrameSettings(**made.get("video", {}))
        self.audio = AudioSettings(**made.get("audio", {}))
        self._decoders = Decoders(1)
        self._decoders.warm(read_frames, read_sound)
        self._turn = threading.Lock()
        self.of = lru_cache(KEPT)(self._of)

    def close(self) -> None:
        """End the decoding process."""
        self._decoders.__exit__()

    def data(self, video: Video) -> bytes | None:
        """The file, to be played; None when it is too large or not in the store. Raises ObjectStoreError."""
        try:
            found = self.store.get_bytes(self.store.key(video.uri))
        except (InvalidObjectName, ObjectNotFound):
            return None
        return found if len(found) <= MOST_PLAYED_BYTES else None

    def _of(self, uri: str) -> Clip:
        """Pictures and sound of what lies at `uri`; raises ObjectStoreError when it is not in the store."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "media"
            self.store.get_file(self.store.key(uri), path)
            with self._turn:
                (frames,) = self._decoders.read(partial(read_frames, settings=self.video), [path])
                (sound,) = self._decoders.read(partial(read_sound, settings=self.audio), [path])
        no_frames = str(frames) if isinstance(frames, InvalidVideo) else "the file has no pictures"
        no_sound = str(sound) if isinstance(sound, InvalidVideo) else "the file has no sound, or it is silent"
        return Clip(
            None if isinstance(frames, InvalidVideo) else frames, None if isinstance(sound, InvalidVideo) else sound,
            no_frames, no_sound,
        )  # fmt: skip
