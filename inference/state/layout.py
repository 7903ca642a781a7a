"""Where everything lies in the slab file: header, undo journal, index, then a slot a viewer.

    header | journal | cells u4 [2 S] | metas META [S] | rows ROW [S, 100]

The file is as long as the memory limit allows and takes memory only for the slots that were used.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from inference.state.errors import StateTooSmall
from interest.history import HISTORY
from interest.viewer_rows import ROW

FILE = "viewers.slab"
MAGIC = 0x42414C5354504152
FORMAT = 1
PAGE_BYTES = 4096
HEADER_WORDS = PAGE_BYTES // 8
PARTITIONS = 512
"""Partitions of the topic that a slab can follow."""
CHUNK = 2048
"""Records applied at once: a reader of one of their viewers waits for about a millisecond at most."""
UNDO_ROWS = 32_768
CELLS_PER_SLOT = 2
SEGMENT = 4096
"""Slots that are allocated, and written to a checkpoint, together: 11.7 MB."""
ROW_BYTES = ROW.itemsize
SLOT_ROWS_BYTES = HISTORY * ROW_BYTES

META = np.dtype(
    [
        ("high", "<u8"),
        ("low", "<u8"),
        ("last_ts_ms", "<i8"),
        ("last_offset", "<i8"),
        ("since", "<i8"),
        ("version", "<u4"),
        ("partition", "<i2"),
        ("count", "u1"),
        ("head", "u1"),
    ]
)
"""A slot's 48 bytes: the viewer's key, what was applied, and where in the ring of rows the oldest is.

`version` is odd while the slot is written. `count` is 0 when the slot is free; `head` is 0 until the ring is full.
"""
META_STRUCT = "<QQqqqIhBB"


class Word(IntEnum):
    """The header's 64-bit words."""

    MAGIC = 0
    FORMAT = 1
    CAPACITY = 2
    STATE = 3
    BOOT = 4
    WRITER = 5
    HEARTBEAT_MS = 6
    FRESH_AT_MS = 7
    LAG = 8
    READY = 9
    VIEWERS = 10
    USED = 11
    INDEX_VERSION = 12
    UNDO_ARMED = 13
    UNDO_SLOTS = 14
    UNDO_ROWS = 15
    PARTITIONS = 16


class Phase(IntEnum):
    """What the header says of the slab: only a serving one may be read."""

    RESTORING = 0
    SERVING = 1
    CLOSED = 2


@dataclass(frozen=True)
class Layout:
    """Byte offsets for a number of slots."""

    capacity: int

    @property
    def offsets(self) -> int:
        """The next offset of each partition, i8."""
        return PAGE_BYTES

    @property
    def undo(self) -> int:
        """The journal."""
        return 2 * PAGE_BYTES

    @property
    def cells(self) -> int:
        """The index."""
        return _pages(self.undo + undo_bytes())

    @property
    def metas(self) -> int:
        """The slots' metas."""
        return _pages(self.cells + CELLS_PER_SLOT * 4 * self.capacity)

    @property
    def rows(self) -> int:
        """The slots' rows."""
        return _pages(self.metas + META.itemsize * self.capacity)

    @property
    def size_bytes(self) -> int:
        """Length of the file."""
        return _pages(self.rows + SLOT_ROWS_BYTES * self.capacity)


def undo_bytes() -> int:
    """Length of the journal: slots, metas, positions and rows."""
    return CHUNK * (4 + META.itemsize) + UNDO_ROWS * (8 + ROW_BYTES)


def layout_within(memory_bytes: int) -> Layout:
    """The largest slab whose file is never over `memory_bytes`; raises StateTooSmall for one of no slots."""
    slot_bytes = CELLS_PER_SLOT * 4 + META.itemsize + SLOT_ROWS_BYTES
    rounding = 3 * PAGE_BYTES
    capacity = (memory_bytes - Layout(0).cells - rounding) // slot_bytes
    if capacity < 2:
        raise StateTooSmall(f"{memory_bytes} bytes hold no viewer's state: set RAPT_STATE_MEMORY_MIB to 8 or more")
    return Layout(capacity)


def _pages(size_bytes: int) -> int:
    return -(-size_bytes // PAGE_BYTES) * PAGE_BYTES
