"""How long videos are: from the catalogues of published models and, for newer videos, from topic `content`.

Both are read in threads. Closing waits for what is on its way, so that a restart gives the same labels.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
from safetensors import SafetensorError, safe_open

from interest.bundle import MANIFEST, check_file, read_manifest
from interest.errors import InvalidBundle
from wire.errors import ObjectNotFound, ObjectStoreError
from wire.kafka import CONTENT, KafkaSettings, Record
from wire.kafka.follower import Follower
from wire.objects import ObjectStore

LOG = logging.getLogger(__name__)
AGAIN_S, MISSING_AGAIN_S = 1.0, 60.0
PATIENCE_S = 10.0
"""How long labels wait, after the start, for topic `content`, which may be missing or unreadable."""
DIGEST = re.compile("[0-9a-f]{64}")
FILES = ("catalogue.safetensors", "catalogue.json")


class _Length(msgspec.Struct):
    video_id: str
    duration_s: float


_length = msgspec.json.Decoder(_Length).decode


class Durations:
    """Seconds by video; a video has the same length for all models."""

    def __init__(self, store: ObjectStore, kafka: KafkaSettings) -> None:
        self._store, self._content = store, Follower(kafka, CONTENT, self._apply)
        self._seconds: dict[str, float] = {}
        self._again_at: dict[str, float] = {}
        self._loaded: set[str] = set()
        self._over = threading.Event()
        self._began = time.monotonic()

    def __len__(self) -> int:
        return len(self._seconds)

    def start(self) -> None:
        """Begin to read."""
        self._began = time.monotonic()
        self._content.start()
        threading.Thread(target=self._load_catalogues, name="load-catalogues", daemon=True).start()

    def stop(self) -> None:
        """Read no more; what is under way is left alone."""
        self._over.set()
        self._content.stop()

    def settled(self, digests: Iterable[str]) -> bool:
        """Whether all that can be known now is known of these models' videos; has it read if not."""
        level = self._content.caught_up.is_set() or time.monotonic() >= self._began + PATIENCE_S
        waiting = [digest for digest in digests if DIGEST.fullmatch(digest) and digest not in self._loaded]
        for digest in waiting:
            self._again_at.setdefault(digest, 0.0)
        return level and all(self._again_at[digest] for digest in waiting)

    def of(self, video_id: str) -> float | None:
        """Seconds that a video lasts, None when nobody knows."""
        return self._seconds.get(video_id)

    def put(self, video_id: str, seconds: float) -> None:
        """Note a length; what is no length is passed over."""
        if seconds > 0:
            self._seconds[sys.intern(video_id)] = seconds

    def _load_catalogues(self) -> None:
        while not self._over.wait(0.05):
            for digest, again_at in list(self._again_at.items()):
                if digest not in self._loaded and again_at <= time.monotonic() and not self._over.is_set():
                    self._load(digest)

    def _load(self, digest: str) -> None:
        """Read one catalogue; while the store is away nothing can be written either, so that is waited for."""
        try:
            found = catalogue_durations(self._store, digest)
        except (ObjectNotFound, InvalidBundle) as error:
            LOG.warning("the lengths of model %s's videos are not known for now: %s", digest[:12], error)
            self._again_at[digest] = time.monotonic() + MISSING_AGAIN_S
            return
        except (ObjectStoreError, OSError) as error:
            LOG.warning("waiting for the catalogue of model %s: %s", digest[:12], error)
            self._over.wait(AGAIN_S)
            return
        for video_id, seconds in found.items():
            self.put(video_id, seconds)
        self._loaded.add(digest)

    def _apply(self, records: list[Record]) -> None:
        for record in records:
            try:
                found = _length(record.value or b"")
            except msgspec.DecodeError:
                continue  # a tombstone, or what the servers complain about
            self.put(found.video_id, found.duration_s)


def catalogue_durations(store: ObjectStore, digest: str) -> dict[str, float]:
    """The lengths in a published model's catalogue; raises ObjectNotFound, InvalidBundle, ObjectStoreError.

    Only the catalogue is fetched, and of it only the lengths are read.
    """
    with tempfile.TemporaryDirectory(prefix="rapt-catalogue-") as name:
        folder = Path(name)
        store.get_file(f"models/{digest}/{MANIFEST}", folder / MANIFEST)
        manifest, found = read_manifest(folder)
        if found != digest:
            raise InvalidBundle(f"the manifest of {digest[:12]} has sha256 {found[:12]}; publish the model again")
        for file in FILES:
            if file not in manifest["files"]:
                raise InvalidBundle(f"model {digest[:12]} lists no {file}; it was made for another version")
            store.get_file(f"models/{digest}/{file}", folder / file)
            check_file(folder, file, manifest["files"][file])
        try:
            with safe_open(folder / FILES[0], framework="numpy") as arrays:
                seconds = arrays.get_tensor("duration_s").tolist()
        except SafetensorError as error:
            raise InvalidBundle(f"{FILES[0]} of {digest[:12]} cannot be read: {error}") from error
        ids = json.loads((folder / FILES[1]).read_text())
        return dict(zip(ids, seconds, strict=True))
