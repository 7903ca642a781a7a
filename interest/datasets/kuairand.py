"""KuaiRand (Gao et al., CIKM 2022): `log_*.csv`, and `video_features_basic_*.csv` when it is there.

One log row is one impression: is_like gives a like, is_forward a share, is_hate a skip, play_time_ms a watch,
is_rand the mark of random exposure. `long_view` equals *engaged* by watching alone. No media, no captions.
"""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from interest.catalog import Catalog
from interest.datasets import tables
from interest.datasets.impressions import Impressions, concat, duration_s
from interest.errors import InvalidRecord
from interest.records import Rejected, Video

COLUMNS = (
    *("user_id", "video_id", "time_ms", "is_like", "is_forward", "is_hate"),
    *("play_time_ms", "duration_ms", "is_rand"),
)
BEIJING = datetime.timezone(datetime.timedelta(hours=8))


def recognises(folder: Path) -> bool:
    """Whether the folder holds this layout."""
    return any(folder.rglob("log_*.csv"))


def read(folder: Path) -> tuple[Catalog, pa.Table]:
    """The videos of the logs and the canonical events; raises `InvalidRecord` naming file, column and row."""
    parts: list[Impressions] = []
    lengths: list[pa.Table] = []
    for path in sorted(folder.rglob("log_*.csv")):
        table = tables.read_csv(path, COLUMNS)
        parts.append(_impressions(table, path))
        length = tables.integer_column(table, "duration_ms", path, least=0)
        lengths.append(pa.table({"video": parts[-1].videos, "ms": length}))
    if not parts:
        raise InvalidRecord(f"{folder.name} has no log_*.csv, the logs of KuaiRand")
    longest = pa.concat_tables(lengths).group_by("video", use_threads=False).aggregate([("ms", "max")])
    return _catalog(folder, longest), concat(parts).events("kuairand")


def _impressions(table: pa.Table, path: Path) -> Impressions:
    return Impressions(
        users=tables.id_column(table, "user_id", path),
        videos=tables.id_column(table, "video_id", path),
        ts_ms=tables.integer_column(table, "time_ms", path, least=0),
        watch_ms=tables.integer_column(table, "play_time_ms", path, least=0),
        liked=tables.flag_column(table, "is_like", path),
        shared=tables.flag_column(table, "is_forward", path),
        skipped=tables.flag_column(table, "is_hate", path),
        shown=np.ones(len(table), np.bool_),
        randomised=tables.flag_column(table, "is_rand", path),
    )


def _catalog(folder: Path, longest: pa.Table) -> Catalog:
    """The length comes from the logs, since `long_view` was reckoned with it."""
    features: dict[str, dict[str, str | None]] = {}
    rejected: list[Rejected] = []
    logged = pc.unique(longest["video"])
    for path in sorted(folder.rglob("video_features_basic*.csv")):
        table = tables.read_csv(path, ("video_id", "upload_dt", "tag"))
        ids = tables.id_column(table, "video_id", path)
        used = pc.is_in(ids, value_set=logged)
        features |= {row["video_id"]: row for row in table.filter(used).to_pylist()}
        unused = len(table) - int(np.count_nonzero(used))
        if unused:
            rejected.append(Rejected(item=path.name, reason=f"{unused} videos that no log row shows"))
    videos = (
        Video(
            video_id=row["video"],
            uri="",
            duration_s=duration_s(row["ms_max"]),
            published_at_ms=_midnight_ms(features.get(row["video"], {}).get("upload_dt")),
            topic=(features.get(row["video"], {}).get("tag") or "").split(",")[0] or None,
        )
        for row in longest.to_pylist()
    )
    return Catalog(tuple(videos), tuple(rejected))


def _midnight_ms(date: str | None) -> int:
    """Milliseconds at which the day 2022-04-21 began in Beijing; 0 for no or another kind of date."""
    try:
        day = datetime.datetime.strptime(date or "", "%Y-%m-%d").replace(tzinfo=BEIJING)
    except ValueError:
        return 0
    return max(0, int(day.timestamp() * 1000))
