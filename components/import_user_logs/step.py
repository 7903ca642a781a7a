"""Users' logs, in the canonical columns or a public layout, checked against the catalogue and brought in."""

from __future__ import annotations

import json
import tempfile
from hashlib import file_digest
from pathlib import Path, PurePosixPath

import msgspec
import pyarrow as pa

from components.errors import TooManyRejected
from interest.catalog import Catalog, write_jsonl
from interest.datasets import layouts
from interest.datasets.events import Loaded, Validated, load_events, validate_events, write_events
from interest.errors import InvalidSetting, InvalidVideo
from interest.features.probe import duration_s
from interest.records import Rejected, Video
from wire.objects import ObjectStore

EVENTS, REJECTED, COUNTS = "events.parquet", "rejected.jsonl", "counts.json"
CANONICAL = "events"


def run(
    source: str,
    catalog: Path | None,
    events: Path,
    catalog_out: Path | None = None,
    *,
    layout: str = "auto",
    max_rejected_share: float = 0.5,
) -> dict[str, int]:
    """Write the good events of `source` and what was rejected into the folder `events`; return the counts.

    `source` is a file of canonical events, a folder with `events.parquet`, or a folder in a public layout; a
    path or `s3://` of our store. `layout` is "auto", "events" or a name in `interest.datasets.layouts`.
    Videos that a layout brings and `catalog` lacks go to `catalog_out`, behind those of `catalog`, with their
    files put into the store, if they have any, and with an empty uri if not. Without `catalog_out` the
    events on them are rejected. Raises `InvalidRecord` for a malformed file, `InvalidSetting`, and
    `TooManyRejected` when more than `max_rejected_share` of the rows, or all, are rejected.
    """
    if not 0 <= max_rejected_share <= 1:
        raise InvalidSetting(f"max_rejected_share={max_rejected_share} is not between 0 and 1")
    base = Catalog.read(catalog) if catalog else Catalog(())
    with tempfile.TemporaryDirectory() as scratch:
        own, table = _read(_local(source, Path(scratch)), layout)
        if catalog_out:
            base = _joined(base, own)
    validated = validate_events(table, base)
    _check_share(validated, max_rejected_share)
    if catalog_out:
        base.write(catalog_out)
    write_events(events / EVENTS, validated.table)
    write_jsonl(events / REJECTED, validated.rejected)
    (events / COUNTS).write_text(json.dumps(validated.counts, indent=1, ensure_ascii=False), encoding="utf-8")
    return validated.counts


def _local(source: str, scratch: Path) -> Path:
    """The source as a file or folder of this machine."""
    if not source.startswith("s3://"):
        path = Path(source)
        if not path.exists():
            raise InvalidSetting(f"source {source!r} is neither a file nor a folder; give one, or an s3:// address")
        return path
    store = ObjectStore.from_env()
    key = store.key(source).rstrip("/")
    if store.exists(key):
        store.get_file(key, scratch / PurePosixPath(key).name)
        return scratch / PurePosixPath(key).name
    prefix = f"{key}/"
    found = list(store.list(prefix))
    if not found:
        raise InvalidSetting(f"source {source!r} names nothing in the object store; put the logs there first")
    for name in found:
        path = scratch.joinpath(*PurePosixPath(name.removeprefix(prefix)).parts)
        if ".." in path.parts:
            raise InvalidSetting(f"source {source!r} holds the key {name!r}; keys with '..' are refused")
        path.parent.mkdir(parents=True, exist_ok=True)
        store.get_file(name, path)
    return scratch


def _read(path: Path, layout: str) -> tuple[Catalog, pa.Table | Loaded]:
    file = path / EVENTS if path.is_dir() and (path / EVENTS).is_file() else path
    if file.is_file() and layout in ("auto", CANONICAL):
        return Catalog(()), load_events(file)
    if layout == CANONICAL or file.is_file():
        raise InvalidSetting(
            f"layout {layout!r} does not fit {path.name!r}: canonical events are one file, "
            f"public layouts ({', '.join(layouts.LAYOUTS)}) are folders"
        )
    return layouts.find(path, layout).read(path)


def _joined(base: Catalog, own: Catalog) -> Catalog:
    """`base` and the videos that only `own` has; `base` knows a video better, since it has fetched it."""
    rejected: list[Rejected] = []
    added = [_stored(video, rejected) for video in own if video.video_id not in base.index]
    return Catalog((*base.videos, *added), (*base.rejected, *own.rejected, *rejected))


def _stored(video: Video, rejected: list[Rejected]) -> Video:
    """The video with its file in the store; one without a readable file stays, with an empty uri."""
    if not video.uri:
        return video
    path = Path(video.uri)
    try:
        seconds = duration_s(path)
    except InvalidVideo as error:
        rejected.append(Rejected(item=video.video_id, reason=f"used without its file {path.name}: {error}"))
        return msgspec.structs.replace(video, uri="")
    with path.open("rb") as file:
        key = f"videos/{file_digest(file, 'sha256').hexdigest()}"
    store = ObjectStore.from_env()
    if not store.exists(key):
        store.put_file(key, path)
    return msgspec.structs.replace(video, uri=store.uri(key), duration_s=seconds)


def _check_share(validated: Validated, max_rejected_share: float) -> None:
    rows, rejected = validated.counts["rows"], validated.counts["rejected"]
    if rows == 0:
        raise TooManyRejected("the logs hold no row; give logs with events")
    if rejected == rows or rejected > max_rejected_share * rows:
        first = "; ".join(f"{row.item}: {row.reason}" for row in validated.rejected[:3])
        raise TooManyRejected(
            f"{rejected} of {rows} events were rejected, the limit is a share of {max_rejected_share}; "
            f"mend the logs or raise max_rejected_share. First: {first}"
        )
