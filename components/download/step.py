"""Videos by address or path into the object store, and the catalogue of those that came."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from components.download.table import Item, read_items
from components.errors import TooManyRejected
from components.progress import track
from interest.catalog import Catalog
from interest.errors import InvalidRecord, InvalidSetting, InvalidVideo
from interest.records import Rejected, Video
from wire.errors import CacheUnwritable, FetchError, ForbiddenUrl
from wire.fetch import Policy
from wire.objects import ObjectStore
from wire.videos import Downloader


def run(
    videos: Path | str,
    catalog: Path,
    *,
    max_failed_share: float = 0.5,
    max_bytes: int = 512 << 20,
    max_duration_s: float = 3600.0,
    timeout_s: float = 900.0,
    idle_timeout_s: float = 20.0,
    rate_limit_bytes_s: int = 0,
    retries: int = 4,
    backoff_s: float = 0.5,
    allow_private: bool | Sequence[str] = False,
    allow_local_paths: bool = True,
) -> dict[str, int]:
    """Download the videos of a list (columns in README.md) and write the catalogue folder `catalog`.

    `videos` is the list's path, or `s3://` in our store, or "" for none: an empty catalogue.
    A video without an id gets the first 16 hex digits of its content's sha256. An item that fails lands in
    `rejected.jsonl`. Returns the counts `videos`, `rejected` and `received_bytes`. Raises `InvalidRecord`
    for a list that is no list, `TooManyRejected` above `max_failed_share`, `CacheUnwritable`, and the named
    failures of the object store. Partial downloads stay in the cache folder for the next run.
    """
    if not 0 <= max_failed_share <= 1:
        raise InvalidSetting(f"max_failed_share={max_failed_share} is not between 0 and 1")
    policy = Policy(
        max_bytes=max_bytes, max_duration_s=max_duration_s, rate_limit_bytes_s=rate_limit_bytes_s,
        timeout_s=timeout_s, idle_timeout_s=idle_timeout_s, retries=retries, backoff_s=backoff_s,
        allow_private=allow_private,
    )  # fmt: skip
    if not str(videos):
        Catalog(()).write(catalog)
        return {"videos": 0, "rejected": 0, "received_bytes": 0}
    store = ObjectStore.from_env()
    with tempfile.TemporaryDirectory() as scratch:
        listed, local = _local(store, str(videos), Path(scratch))
        items, rejected = read_items(listed)
    parts = cache_folder() / "downloads"
    try:
        parts.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CacheUnwritable(f"cannot make {parts}: {error.strerror}; change RAPT_CACHE_DIR") from None
    downloader = Downloader(store, policy, parts)
    base = listed.resolve().parent if allow_local_paths and local else None
    kept: dict[str, Video] = {}
    received = 0
    for item in track(items, "download", len(items), "videos"):
        try:
            video, size = _bring(item, downloader, base)
        except (FetchError, InvalidVideo, InvalidRecord) as error:
            rejected.append(Rejected(item=item.name, reason=f"{type(error).__name__}: {error}"))
            continue
        received += size
        if video.video_id in kept:
            reason = f"InvalidRecord: video_id {video.video_id!r} came before; the first one is kept"
            rejected.append(Rejected(item=item.name, reason=reason))
        else:
            kept[video.video_id] = video
    _check_share(len(kept), rejected, max_failed_share)
    Catalog(tuple(kept.values()), tuple(rejected)).write(catalog)
    return {"videos": len(kept), "rejected": len(rejected), "received_bytes": received}


def _bring(item: Item, downloader: Downloader, base: Path | None) -> tuple[Video, int]:
    """The item's catalogue record and the bytes received; paths are relative to `base`, None allows none."""
    if item.url:
        kept, received = downloader.from_web(item.url)
    elif base is None:
        raise ForbiddenUrl("column path: local files are switched off; set allow_local_paths or give a url")
    elif not (base / item.path).is_file():
        raise InvalidRecord(f"column path: {item.path!r} is no file; paths are relative to the list's folder")
    else:
        kept, received = downloader.from_disk(base / item.path), 0
    video = Video(
        video_id=item.video_id or kept.sha256[:16],
        uri=downloader.uri(kept),
        caption=item.caption or kept.caption,
        duration_s=kept.duration_s,
        published_at_ms=item.published_at_ms or kept.published_at_ms,
        topic=item.topic,
    )
    return video, received


def _local(store: ObjectStore, videos: str, scratch: Path) -> tuple[Path, bool]:
    """The list as a file of this machine, and whether it is one that may name files beside it."""
    if not videos.startswith("s3://"):
        if not Path(videos).is_file():
            raise InvalidSetting(f"videos={videos!r} is no file; give a list's path or s3:// address")
        return Path(videos), True
    path = scratch / PurePosixPath(videos).name
    store.get_file(store.key(videos), path)
    return path, False


def cache_folder() -> Path:
    """Where partial downloads live: RAPT_CACHE_DIR, else `rapt` under the user's cache folder."""
    own = os.environ.get("RAPT_CACHE_DIR")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rapt"


def _check_share(kept: int, rejected: Sequence[Rejected], max_failed_share: float) -> None:
    total = kept + len(rejected)
    if kept == 0 or len(rejected) > max_failed_share * total:
        worst = "; ".join(f"{r.item}: {r.reason}" for r in rejected[:3])
        raise TooManyRejected(
            f"{len(rejected)} of {total} videos were rejected, the limit is a share of {max_failed_share}; "
            f"mend the list or raise max_failed_share. First: {worst}"
        )
