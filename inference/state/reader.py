"""Reads viewers' states from the slab that a feeder writes, without locks.

open_reader(Path(os.environ["RAPT_STATE_FOLDER"])).read("u1").rows
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path

import numpy as np

from inference.state.errors import StateUnavailable
from inference.state.layout import (
    CELLS_PER_SLOT,
    FILE,
    FORMAT,
    HEADER_WORDS,
    MAGIC,
    META,
    META_STRUCT,
    ROW_BYTES,
    SLOT_ROWS_BYTES,
    Layout,
    Phase,
    Word,
)
from inference.state.viewer_state import NO_STATE, UNKNOWN_VIEWER, Freshness, ViewerState
from interest.viewer_rows import ROW, user_key

ALIVE_MS = 2000
"""A feeder that gave no sign for so long is not alive."""
WRITTEN_S = 0.05
"""A slot that stays half written for so long was left by a feeder that died."""
SPIN_S = 0.00005
KEY = struct.Struct(">QQ")
SLOT = struct.Struct(META_STRUCT)


class SlabReader:
    """A `StateReader` of the slab in a folder; it finds a new feeder's slab by itself."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._mapped: _Mapped | None = None

    def read(self, user_id: str) -> ViewerState:
        return self._slab().read(user_id)

    def freshness(self) -> Freshness:
        try:
            return self._slab().freshness()
        except StateUnavailable:
            return NO_STATE

    def _slab(self) -> _Mapped:
        """The serving slab; raises StateUnavailable."""
        mapped = self._mapped
        if mapped is not None and mapped.serves(self._path):
            return mapped
        self._mapped = None
        mapped = _open(self._path)
        if mapped.words[Word.STATE] != Phase.SERVING:
            raise StateUnavailable(f"the feeder restores the viewers' state in {self._path.parent}: ask again soon")
        self._mapped = mapped
        return mapped


class _Mapped:
    """One slab file, mapped read-only."""

    def __init__(self, data: mmap.mmap, layout: Layout, identity: tuple[int, int]) -> None:
        self._identity = identity
        self._metas_at = layout.metas
        self._rows_at = layout.rows
        self._size = CELLS_PER_SLOT * layout.capacity
        self._bytes = memoryview(data)
        self.words = self._bytes[: HEADER_WORDS * 8].cast("q")
        self._cells = self._bytes[layout.cells : layout.cells + 4 * self._size].cast("I")

    def silent_ms(self) -> float:
        """Since the feeder's last sign of life."""
        return time.time() * 1000 - self.words[Word.HEARTBEAT_MS]

    def serves(self, path: Path) -> bool:
        """Whether this may be read, and is still what lies at `path`, as far as a feeder that lives tells."""
        if self.words[Word.STATE] != Phase.SERVING:
            return False
        if self.silent_ms() < ALIVE_MS:
            return True
        try:
            found = path.stat()
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def freshness(self) -> Freshness:
        words = self.words
        return Freshness(
            age_ms=max(0, int(time.time() * 1000) - words[Word.FRESH_AT_MS]),
            lag=words[Word.LAG],
            viewers=words[Word.VIEWERS],
            ready=bool(words[Word.READY]) and self.silent_ms() < ALIVE_MS,
            alive=self.silent_ms() < ALIVE_MS,
        )

    def read(self, user_id: str) -> ViewerState:
        high, low = KEY.unpack(user_key(user_id.encode()))
        give_up_at = 0.0
        while True:
            index_version = self.words[Word.INDEX_VERSION]
            found = self._probe(high, low)
            if isinstance(found, ViewerState):
                return found
            if found is None and not index_version & 1 and self.words[Word.INDEX_VERSION] == index_version:
                return UNKNOWN_VIEWER
            now = time.monotonic()
            give_up_at = give_up_at or now + WRITTEN_S
            if now > give_up_at:
                raise StateUnavailable(
                    "this viewer's state is half written and the feeder gone: ask again when it is back"
                )
            time.sleep(SPIN_S)

    def _probe(self, high: int, low: int) -> ViewerState | bool | None:
        """The state, None when the viewer is not in the index, True when it has to be tried again."""
        cells, size, data, metas_at = self._cells, self._size, self._bytes, self._metas_at
        position = (low >> 32) * size >> 32
        while cell := cells[position]:
            meta = SLOT.unpack_from(data, metas_at + (cell - 1) * META.itemsize)
            if meta[1] == low and meta[0] == high:
                return self._copy(cell - 1, meta)
            position += 1
            if position == size:
                position = 0
        return None

    def _copy(self, slot: int, meta: tuple[int, ...]) -> ViewerState | bool:
        _, _, _, last_offset, since, version, partition, count, head = meta
        if version & 1:
            return True
        begin = self._rows_at + slot * SLOT_ROWS_BYTES
        data = self._bytes
        if head:
            middle, end = begin + head * ROW_BYTES, begin + SLOT_ROWS_BYTES
            rows = data[middle:end].tobytes() + data[begin:middle].tobytes()
        else:
            rows = data[begin : begin + count * ROW_BYTES].tobytes()
        if SLOT.unpack_from(data, self._metas_at + slot * META.itemsize) != meta:
            return True
        if not count:
            return UNKNOWN_VIEWER
        return ViewerState(np.frombuffer(rows, ROW), partition, last_offset + 1, since)


def _open(path: Path) -> _Mapped:
    """The slab of that name; raises StateUnavailable."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    except (FileNotFoundError, ValueError) as error:
        raise StateUnavailable(f"no viewers' state in {path.parent}: does the feeder run? See `rapt status`") from error
    words = np.frombuffer(data, np.int64, HEADER_WORDS)
    if words[Word.MAGIC] != MAGIC or words[Word.FORMAT] != FORMAT:
        raise StateUnavailable(f"{path} is no viewers' state that this version can read: restart the feeder")
    layout = Layout(int(words[Word.CAPACITY]))
    return _Mapped(data, layout, (found.st_dev, found.st_ino))
