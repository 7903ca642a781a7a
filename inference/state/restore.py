"""Fills a new slab from the newest checkpoint that is whole."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from inference.state import manifest as manifests
from inference.state.errors import CheckpointDamaged
from inference.state.index import Index
from inference.state.layout import SLOT_ROWS_BYTES, Word
from inference.state.manifest import Manifest, Piece
from inference.state.segment import digest, unpacked
from inference.state.slab import META_BLOB, Slab
from wire.errors import ObjectNotFound
from wire.objects import ObjectStore

LOG = logging.getLogger(__name__)
DOWNLOADS = 4


@dataclass(frozen=True)
class Restored:
    """What a new slab was filled from: no manifest when there is no checkpoint; `damaged` ones were passed over."""

    manifest: Manifest | None
    damaged: int


def restore(slab: Slab, store: ObjectStore) -> Restored:
    """Fill the slab, which is empty; raises ObjectStoreUnavailable, StateFolderFull."""
    damaged = 0
    for key in manifests.newest_first(store):
        try:
            manifest = manifests.read(store, key)
            _fill(slab, store, manifest.segments)
        except (CheckpointDamaged, ObjectNotFound) as error:
            LOG.error("the checkpoint %s cannot be used, trying the one before: %s", store.uri(key), error)
            damaged += 1
            continue
        for partition, offset in manifest.offsets.items():
            slab.offsets[partition] = offset
        return Restored(manifest, damaged)
    return Restored(None, damaged)


def _fill(slab: Slab, store: ObjectStore, pieces: Sequence[Piece]) -> None:
    total = sum(piece.viewers for piece in pieces)
    share = min(1.0, slab.capacity / max(1, total))
    sizes = [int(piece.viewers * share) for piece in pieces]
    if sum(sizes) < total:
        LOG.warning("the slab holds %d viewers, the checkpoint %d: the longest idle are left out", sum(sizes), total)
    begins = [0, *accumulate(sizes)]
    with ThreadPoolExecutor(DOWNLOADS) as pool:
        for _ in pool.map(lambda one: _piece(slab, store, *one), zip(pieces, begins, sizes, strict=False)):
            pass
    used = begins[-1]
    _forget_doubles(slab.metas[:used])
    slab.words[Word.USED] = used
    slab.words[Word.VIEWERS] = np.count_nonzero(slab.metas["count"][:used])
    slab.filled(used)
    Index(slab).rebuild()


def _piece(slab: Slab, store: ObjectStore, piece: Piece, begin: int, size: int) -> None:
    data = store.get_bytes(piece.key)
    if not piece.key.endswith(f"-{digest(data)}"):
        raise CheckpointDamaged(f"{store.uri(piece.key)} does not hold what its name says")
    metas, rows = unpacked(data, piece.viewers)
    if size < piece.viewers:
        newest = np.sort(np.argsort(metas["last_ts_ms"], kind="stable")[piece.viewers - size :])
        metas = metas[newest]
        rows = memoryview(np.frombuffer(rows, f"V{SLOT_ROWS_BYTES}")[newest].tobytes())
    slab.meta_blobs[begin : begin + size] = metas.view(META_BLOB)
    slab.write_rows(begin, rows)


def _forget_doubles(metas: NDArray[np.void]) -> None:
    """Leave one slot to a viewer who was evicted and came back while the checkpoint was taken: the longest history.

    Either is exact: the events after a slot's last offset follow from the topic.
    """
    order = np.argsort(metas["low"], kind="stable")
    low = metas["low"][order]
    same = np.flatnonzero(low[1:] == low[:-1])
    for first, second in zip(order[same].tolist(), order[same + 1].tolist(), strict=True):
        if metas["high"][first] == metas["high"][second]:
            younger = first if metas["since"][first] > metas["since"][second] else second
            metas["count"][younger] = 0
