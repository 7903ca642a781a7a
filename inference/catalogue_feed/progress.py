"""How far the feed came, in the object store: written after the work it tells of, in one piece."""

from __future__ import annotations

import msgspec

from inference.catalogue_feed.library import PREFIX
from wire.errors import ObjectNotFound
from wire.objects import ObjectStore


class Progress(msgspec.Struct, frozen=True):
    """The next offset by partition of `videos`, and the model by which all of the library is on `content`."""

    offsets: dict[int, int] = {}
    encoded: str = ""


class ProgressNote:
    """The progress of the feed called `name`: feeds of different models go on each from its own."""

    def __init__(self, store: ObjectStore, name: str) -> None:
        self.store = store
        self._key = f"{PREFIX}/progress/{name}.json"

    def read(self) -> Progress:
        """What was noted last; nothing on the first start."""
        try:
            return msgspec.json.decode(self.store.get_bytes(self._key), type=Progress)
        except ObjectNotFound:
            return Progress()

    def write(self, progress: Progress) -> None:
        """Note it."""
        self.store.put_bytes(self._key, msgspec.json.encode(progress))
