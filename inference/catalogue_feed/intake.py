"""One video from its message to its features: downloaded, decoded in a process of its own, described by numbers."""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from inference.catalogue_feed.library import Library
from interest.errors import InvalidRecord, InvalidVideo
from interest.features.content import Features, FeatureSettings, features, read_media
from interest.features.probe import duration_s
from interest.features.text import TextEncoder, TextSettings
from interest.records import Video
from wire.fetch import Guard, Policy
from wire.objects import ObjectStore
from wire.videos import Downloader
from wire.workers import Decoders

DECODE_S = 30.0
"""A file that takes longer to decode is refused: its decoder hangs, or might as well."""
DOWNLOAD_S = 120.0
MAX_BYTES = 512 << 20
MAX_ID_CHARACTERS = 200
ALLOWED = "RAPT_ALLOW_PRIVATE_ADDRESSES"
T = TypeVar("T")


class Intake:
    """Makes features of videos; safe to share between threads, which wait for each other to decode."""

    def __init__(
        self, store: ObjectStore, library: Library, policy: Policy, parts: Path, decode_s: float = DECODE_S
    ) -> None:
        self.store, self.library, self.decode_s = store, library, decode_s
        parts.mkdir(parents=True, exist_ok=True)
        self._downloader = Downloader(store, policy, parts, probe=partial(self._decode, duration_s))
        self._decoders = Decoders(1)
        self._decoding, self._describing = threading.Lock(), threading.Lock()
        self._text: TextEncoder | None = None

    def close(self) -> None:
        """End the decoding process."""
        self._decoders.__exit__()

    def prepare(self, settings: TextSettings) -> None:
        """Load the caption encoder and start the decoding process, which takes seconds the first time."""
        with self._decoding:
            self._decoders.read(Path.exists, [Path()])
        with self._describing:
            self._encoder(settings)

    def bring(self, video: Video, settings: FeatureSettings) -> tuple[Video, Features]:
        """The video as it lies in the store now, and its features.

        Raises `FetchError`, `InvalidVideo`, `InvalidRecord`, `ObjectNotFound` for a video that cannot be used.
        """
        if not 0 < len(video.video_id) <= MAX_ID_CHARACTERS:
            raise InvalidRecord(f"video_id has {len(video.video_id)} characters; from 1 to {MAX_ID_CHARACTERS}")
        stored = self._stored(video)
        return stored, self.features(stored, settings)

    def features(self, stored: Video, settings: FeatureSettings) -> Features:
        """The features of a video in the store: those kept, or made of its bytes and kept."""
        known = self.library.features(stored, settings)
        if known is not None:
            return known
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "media"
            self.store.get_file(self.store.key(stored.uri), path)
            pixels, sound = self._decode(partial(read_media, settings=settings), path)
        with self._describing:
            made = features(pixels, sound, stored.caption, settings, self._encoder(settings.text))
        self.library.keep_features(stored, settings, made)
        return made

    def _stored(self, video: Video) -> Video:
        """The video with its bytes among those that the store keeps by content."""
        if video.uri.startswith("s3://"):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "media"
                self.store.get_file(self.store.key(video.uri), path)
                kept = self._downloader.from_disk(path)
        else:
            kept, _ = self._downloader.from_web(video.uri)
        return msgspec.structs.replace(
            video,
            uri=self._downloader.uri(kept),
            caption=video.caption or kept.caption,
            duration_s=kept.duration_s,
            published_at_ms=video.published_at_ms or kept.published_at_ms,
        )

    def _decode(self, function: Callable[[Path], T], path: Path) -> T:
        with self._decoding:
            (result,) = self._decoders.read(partial(_in_time, function, self.decode_s), [path])
        if isinstance(result, InvalidVideo):
            raise result
        return result

    def _encoder(self, settings: TextSettings) -> TextEncoder:
        if self._text is None or self._text.settings != settings:
            self._text = TextEncoder(settings)
        return self._text


def policy(env: Mapping[str, str]) -> Policy:
    """What a download may cost and reach.

    RAPT_ALLOW_PRIVATE_ADDRESSES holds `address:port` pairs with commas between them that may be reached
    although they are not public, or `all`. Raises `InvalidSetting` when a pair is none.
    """
    text = env.get(ALLOWED, "")
    pairs: Sequence[str] = [pair.strip() for pair in text.split(",") if pair.strip()]
    allowed = True if text.strip() == "all" else pairs
    Guard(allowed)  # says now what is wrong with a pair, not at each download
    return Policy(max_bytes=MAX_BYTES, timeout_s=DOWNLOAD_S, retries=2, allow_private=allowed)


def _in_time(function: Callable[[Path], T], limit_s: float, path: Path) -> T:
    """In the decoding process: the alarm ends the process, which stands for a crash on this file."""
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        return function(path)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
