"""What the preprocess steps share: features by shard, each made once; bad items listed with their reason."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from numpy.typing import NDArray

from components.errors import TooManyRejected
from components.progress import Bar, progress
from components.runtime import file_digest, memo
from interest.catalog import REJECTED, Catalog, write_jsonl
from interest.errors import InvalidSetting, InvalidVideo
from interest.features.shards import SETTINGS, SHARD_VIDEOS, SHARDS, Shard, write_shard
from interest.records import Rejected, Video
from wire.objects import ObjectStore
from wire.workers import Decoders

T = TypeVar("T")
Tensors = dict[str, NDArray[Any]]
Report = Callable[[int], None]
"""Told how many videos of a shard are done."""
Make = Callable[[Sequence[Video], Report], tuple[Tensors, list[Rejected]]]


class Made(msgspec.Struct, frozen=True):
    """What is remembered of a shard."""

    blob: str
    rejected: tuple[Rejected, ...] = ()


def media_shards(
    catalog: Path,
    features: Path,
    *,
    label: str,
    settings: Any,
    read: Callable[[Path], T | None],
    pack: Callable[[list[T | None]], Tensors],
    max_failed_share: float,
) -> dict[str, Any]:
    """Make a features folder of the videos' files.

    `read` runs in another process, on one file, and may raise `InvalidVideo`; `pack` makes a shard's
    tensors of its answers, None standing for a missing modality. Raises `TooManyRejected`.
    """
    store = ObjectStore.from_env()
    with Decoders() as decoders, tempfile.TemporaryDirectory() as temporary:

        def make(videos: Sequence[Video], report: Report) -> tuple[Tensors, list[Rejected]]:
            with_file = [video for video in videos if video.uri]
            paths = [_fetch(store, video, Path(temporary)) for video in with_file]
            read_ids = (video.video_id for video in with_file)
            found = dict(zip(read_ids, decoders.read(read, paths, report), strict=True))
            answers = [found.get(video.video_id) for video in videos]
            for path in Path(temporary).iterdir():
                path.unlink()
            rejected = [
                Rejected(item=video.video_id, reason=str(answer))
                for video, answer in zip(videos, answers, strict=True)
                if isinstance(answer, InvalidVideo)
            ]
            return pack([None if isinstance(a, InvalidVideo) else a for a in answers]), rejected

        return shards(
            store,
            catalog,
            features,
            label=label,
            settings=settings,
            source=partial(_source, store),
            make=make,
            max_failed_share=max_failed_share,
        )


def shards(
    store: ObjectStore,
    catalog: Path,
    features: Path,
    *,
    label: str,
    settings: Any,
    source: Callable[[Video], str],
    make: Make,
    max_failed_share: float,
) -> dict[str, Any]:
    """Write shards, settings and rejected videos into `features`; what an earlier run made is taken over.

    `source` names the content a video's features are made of. A video it cannot name (`InvalidVideo`) is in
    no shard, one that `make` rejects keeps its row of zeros. Returns {"videos", "rejected"}.
    """
    if not 0 <= max_failed_share <= 1:
        raise InvalidSetting(f"max_failed_share={max_failed_share}: must lie between 0 and 1")
    videos = Catalog.read(catalog).videos
    lines: list[Shard] = []
    rejected: list[Rejected] = []
    with progress(label, len(videos), unit="videos") as bar:
        for start in range(0, len(videos), SHARD_VIDEOS):
            chunk = videos[start : start + SHARD_VIDEOS]
            sources = {video.video_id: _named(source, video) for video in chunk}
            rejected.extend(r for r in sources.values() if isinstance(r, Rejected))
            present = [video for video in chunk if isinstance(sources[video.video_id], str)]
            if present:
                key = {"step": label, "settings": dataclasses.asdict(settings)}
                report = partial(_tell, bar, start)
                made = _made(store, {**key, "videos": [sources[v.video_id] for v in present]}, present, make, report)
                lines.append(Shard(blob=made.blob, video_ids=tuple(v.video_id for v in present)))
                rejected.extend(made.rejected)
            bar.set(start + len(chunk))
    if len(rejected) > max_failed_share * len(videos):
        raise TooManyRejected(
            f"{len(rejected)} of {len(videos)} videos cannot be used, more than max_failed_share="
            f"{max_failed_share}; the first: {rejected[0].item}: {rejected[0].reason}"
        )
    features.mkdir(parents=True, exist_ok=True)
    write_jsonl(features / SHARDS, lines)
    write_jsonl(features / REJECTED, rejected)
    (features / SETTINGS).write_text(json.dumps(dataclasses.asdict(settings)))
    return {"videos": sum(len(line.video_ids) for line in lines), "rejected": len(rejected)}


def _made(
    store: ObjectStore,
    key: dict[str, Any],
    videos: Sequence[Video],
    make: Make,
    report: Report,
) -> Made:
    def compute(path: Path) -> None:
        tensors, rejected = make(videos, report)
        file = path.with_suffix(".safetensors")
        write_shard(file, tensors)
        # by row, since the same content may come back under other ids
        rows = {video.video_id: str(row) for row, video in enumerate(videos)}
        items = tuple(Rejected(item=rows[r.item], reason=r.reason) for r in rejected)
        path.write_bytes(msgspec.json.encode(Made(store.put_blob(file), items)))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.json"
        store.get_blob(memo(store, key, compute), path)
        made = msgspec.json.decode(path.read_bytes(), type=Made)
    named = (Rejected(item=videos[int(r.item)].video_id, reason=r.reason) for r in made.rejected)
    return Made(made.blob, tuple(named))


def _tell(bar: Bar, start: int, done: int) -> None:
    bar.set(start + done)


def _named(source: Callable[[Video], str], video: Video) -> str | Rejected:
    try:
        return source(video)
    except InvalidVideo as error:
        return Rejected(item=video.video_id, reason=str(error))


def _source(store: ObjectStore, video: Video) -> str:
    """What names a video's bytes; empty for one that is known without its file."""
    if not video.uri:
        return ""
    if video.uri.startswith("s3://"):
        key = store.key(video.uri)
        if not store.exists(key):
            raise InvalidVideo(f"{video.uri}: no such object in the store; download the video again")
        return key
    try:
        return file_digest(Path(video.uri))
    except OSError as error:
        raise InvalidVideo(f"{video.uri}: {error.strerror}; check the path in the catalogue") from error


def _fetch(store: ObjectStore, video: Video, folder: Path) -> Path:
    """A local file with the video's bytes, named by the video's id where it may be."""
    if not video.uri.startswith("s3://"):
        return Path(video.uri)
    path = folder / sha256(video.video_id.encode()).hexdigest()[:32]
    store.get_file(store.key(video.uri), path)
    return path
