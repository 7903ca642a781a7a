"""The slab as its one writer sees it: a mapped file, and arrays over it.

Readers rely on the order of stores (x86 keeps it): a slot's version goes odd before and even after its change.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from inference.state.errors import FeederRunning, StateFolderFull, StateFolderUnusable
from inference.state.layout import (
    CELLS_PER_SLOT,
    CHUNK,
    FILE,
    FORMAT,
    HEADER_WORDS,
    MAGIC,
    META,
    PARTITIONS,
    SEGMENT,
    SLOT_ROWS_BYTES,
    UNDO_ROWS,
    Layout,
    Phase,
    Word,
)
from interest.history import HISTORY
from interest.viewer_rows import ROW

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
LOCK = "writer.lock"
META_BLOB = f"V{META.itemsize}"
ROW_BLOB = f"V{ROW.itemsize}"
"""Opaque items: numpy copies those by memcpy, records field by field."""


class Slab:
    """The arrays of a mapped slab; `create` or `adopt` makes one."""

    def __init__(self, file: int, layout: Layout) -> None:
        self.layout = layout
        self.capacity = layout.capacity
        self._file = file
        self._map = mmap.mmap(file, layout.size_bytes)
        self.words: NDArray[np.int64] = self._array(np.int64, 0, HEADER_WORDS)
        self.offsets: NDArray[np.int64] = self._array(np.int64, layout.offsets, PARTITIONS)
        self.cells: NDArray[np.uint32] = self._array(np.uint32, layout.cells, CELLS_PER_SLOT * self.capacity)
        self.metas: NDArray[np.void] = self._array(META, layout.metas, self.capacity)
        self.meta_blobs: NDArray[np.void] = self.metas.view(META_BLOB)
        self.rows: NDArray[np.void] = self._array(ROW, layout.rows, self.capacity * HISTORY)
        self.row_blobs: NDArray[np.void] = self.rows.view(ROW_BLOB)
        self.row_bytes = memoryview(self._map)[layout.rows : layout.rows + self.capacity * SLOT_ROWS_BYTES]
        self.dirty: NDArray[np.bool_] = np.ones(-(-self.capacity // SEGMENT), np.bool_)
        at = layout.undo
        self.undo_slots: NDArray[np.uint32] = self._array(np.uint32, at, CHUNK)
        self.undo_metas: NDArray[np.void] = self._array(META_BLOB, at := at + CHUNK * 4, CHUNK)
        self.undo_positions: NDArray[np.int64] = self._array(np.int64, at := at + CHUNK * META.itemsize, UNDO_ROWS)
        self.undo_rows: NDArray[np.void] = self._array(ROW_BLOB, at + UNDO_ROWS * 8, UNDO_ROWS)
        self._backed = 0
        self._full = False

    @property
    def used(self) -> int:
        """Slots below this number were in use at some time."""
        return int(self.words[Word.USED])

    @property
    def writer(self) -> int:
        """The number that this state's checkpoints bear."""
        return int(self.words[Word.WRITER])

    def room(self, slots: int) -> int:
        """How many of the first `slots` slots have memory, taking what is missing from the folder's file system.

        When that is full the slab is as large as it got.
        """
        while self._backed < min(slots, self.capacity) and not self._full:
            end = min(self._backed + SEGMENT, self.capacity)
            try:
                self._back(self.layout.rows + self._backed * SLOT_ROWS_BYTES, self.layout.rows + end * SLOT_ROWS_BYTES)
            except StateFolderFull:
                self._full = True
            else:
                self._backed = end
        return min(slots, self._backed)

    def write_rows(self, slot: int, data: bytes | memoryview) -> None:
        """Write whole slots' rows from `slot` on, with the memory that takes; raises StateFolderFull."""
        at = self.layout.rows + slot * SLOT_ROWS_BYTES
        rest = memoryview(data)
        while len(rest):
            try:
                written = os.pwrite(self._file, rest, at)
            except OSError as error:
                raise _named(error, len(rest)) from error
            at, rest = at + written, rest[written:]

    def filled(self, slots: int) -> None:
        """The first slots have memory by `write_rows`."""
        self._backed = slots

    @property
    def full(self) -> bool:
        """Whether the folder's file system had no room for all of the slab."""
        return self._full

    @property
    def size_bytes(self) -> int:
        """Memory that the file takes."""
        return os.fstat(self._file).st_blocks * 512

    def close(self) -> None:
        """Let readers look for a successor, and unmap."""
        self.words[Word.STATE] = Phase.CLOSED
        self.let_go()

    def let_go(self) -> None:
        """Leave the state as it is, to be adopted by the next feeder; the memory is unmapped with the last array."""
        os.close(self._file)

    def back_fixed(self) -> None:
        """Take the memory of all but the rows; raises StateFolderFull."""
        self._back(0, self.layout.rows)

    def _back(self, begin: int, end: int) -> None:
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._file, begin, end - begin)
            else:
                os.pwrite(self._file, bytes(end - begin), begin)
        except OSError as error:
            raise _named(error, end - begin) from error

    def _array(self, kind: npt.DTypeLike, begin: int, count: int) -> NDArray[Any]:
        return np.frombuffer(self._map, kind, count, begin)


def lock(folder: Path) -> int:
    """Be the folder's only feeder as long as the returned file is open; raises FeederRunning."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StateFolderUnusable(f"cannot use RAPT_STATE_FOLDER={folder} ({error.strerror})") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise FeederRunning(f"another feeder writes into {folder}: end it, or set RAPT_STATE_FOLDER") from error
    return file


def create(folder: Path, layout: Layout) -> Slab:
    """A new empty slab in the place of any older one, whose memory is freed first. Raises StateFolderFull."""
    path = folder / FILE
    retire(path)
    part = path.with_suffix(".part")
    file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    os.ftruncate(file, layout.size_bytes)
    slab = Slab(file, layout)
    try:
        slab.back_fixed()
        if slab.room(1) < 1:
            raise StateFolderFull(f"no room for viewers' state in {folder}: make room there or give it more memory")
    except StateFolderFull:
        slab.let_go()
        part.unlink()
        raise
    for word, value in (
        (Word.FORMAT, FORMAT),
        (Word.CAPACITY, layout.capacity),
        (Word.BOOT, boot()),
        (Word.WRITER, secrets.randbits(62)),
        (Word.MAGIC, MAGIC),
    ):
        slab.words[word] = value
    slab.offsets[:] = -1
    part.replace(path)
    return slab


def adopt(folder: Path, layout: Layout) -> Slab | None:
    """The slab that a feeder left here in this boot, closed to readers until repaired; None unless it has this layout.

    What was under way when that feeder died is undone by `inference.state.undo.repair`.
    """
    try:
        file = os.open(folder / FILE, os.O_RDWR)
    except FileNotFoundError:
        return None
    if os.fstat(file).st_size != layout.size_bytes:
        os.close(file)
        return None
    slab = Slab(file, layout)
    known = {Word.MAGIC: MAGIC, Word.FORMAT: FORMAT, Word.CAPACITY: layout.capacity, Word.BOOT: boot()}
    served = slab.words[Word.STATE] == Phase.SERVING
    if not served or any(slab.words[word] != value for word, value in known.items()):
        slab.let_go()
        return None
    backed = os.fstat(file).st_blocks * 512 - layout.rows
    slab._backed = min(slab.capacity, max(slab.used, backed // SLOT_ROWS_BYTES // SEGMENT * SEGMENT))
    return slab


def retire(path: Path) -> None:
    """Tell the readers of an older slab to look for the next, and give its memory back as they do."""
    try:
        with path.open("r+b") as file:
            if os.fstat(file.fileno()).st_size >= HEADER_WORDS * 8:
                with mmap.mmap(file.fileno(), HEADER_WORDS * 8) as header:
                    header[Word.STATE * 8 : Word.STATE * 8 + 8] = int(Phase.CLOSED).to_bytes(8, "little")
        path.unlink()
    except FileNotFoundError:
        return


def boot() -> int:
    """A number of this start of the system: memory that was left from another one is not trusted."""
    try:
        return int(BOOT_ID.read_text().strip().replace("-", "")[:15], 16)
    except FileNotFoundError:
        import psutil

        return int(psutil.boot_time())


def _named(error: OSError, size_bytes: int) -> OSError | StateFolderFull:
    if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
        return error
    return StateFolderFull(
        f"no room for {size_bytes} bytes of viewers' state in RAPT_STATE_FOLDER: "
        "make room there, give it more memory, or set RAPT_STATE_MEMORY_MIB lower"
    )
