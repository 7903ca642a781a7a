"""Which checkpoints there are: manifests that name their segments, newest last, each written after its segments."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from inference.state.errors import CheckpointDamaged
from inference.state.segment import digest
from wire.objects import ObjectStore

FORMAT = 1
SEGMENTS = "state/events/segments/"
MANIFESTS = "state/events/manifests/"
KEPT = 2


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A segment: its object's key, which ends with its content's digest, and how many viewers are in it."""

    key: str
    viewers: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint: `offsets` are those to go on from, by partition; each viewer's rows are as of then or later."""

    format: int = FORMAT
    created_ms: int
    offsets: dict[int, int]
    segments: list[Piece]


def newest_first(store: ObjectStore) -> list[str]:
    """The keys of the manifests."""
    return sorted(store.list(MANIFESTS), reverse=True)


def created_ms(key: str) -> int:
    """When a manifest was made, from its key."""
    return int(key.removeprefix(MANIFESTS).partition("-")[0])


def writer_of(key: str) -> str:
    """Who made a manifest, from its key."""
    return key.removeprefix(MANIFESTS).split("-")[1]


def read(store: ObjectStore, key: str) -> Manifest:
    """The manifest; raises CheckpointDamaged, ObjectNotFound."""
    data = store.get_bytes(key)
    if not key.endswith(f"-{digest(data)}.json"):
        raise CheckpointDamaged(f"{store.uri(key)} does not hold what its name says")
    manifest = msgspec.json.decode(data, type=Manifest)
    if manifest.format != FORMAT:
        raise CheckpointDamaged(f"{store.uri(key)} has format {manifest.format}, this version reads {FORMAT}")
    return manifest


def write(store: ObjectStore, manifest: Manifest, writer: str) -> str:
    """Store the manifest; returns its key."""
    data = msgspec.json.encode(manifest)
    key = f"{MANIFESTS}{manifest.created_ms:015d}-{writer}-{digest(data)}.json"
    store.put_bytes(key, data)
    return key


def segment_key(writer: str, data: bytes) -> str:
    """Where a segment lies."""
    return f"{SEGMENTS}{writer}-{digest(data)}"


def collect_garbage(store: ObjectStore, own: Iterable[str]) -> None:
    """Remove all manifests but the newest, and the segments that neither those nor `own` name."""
    manifests = newest_first(store)
    named = set(own)
    for key in manifests[:KEPT]:
        try:
            named.update(piece.key for piece in read(store, key).segments)
        except CheckpointDamaged:
            continue
    for key in manifests[KEPT:]:
        store.delete(key)
    for key in list(store.list(SEGMENTS)):
        if key not in named:
            store.delete(key)
