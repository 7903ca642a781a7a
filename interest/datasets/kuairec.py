"""KuaiRec (Gao et al., CIKM 2022): `big_matrix.csv`, `small_matrix.csv`, captions and categories if there.

One row is one impression with a watch of play_duration; there are no likes. In the small matrix nearly every
viewer saw every video, so nothing selected its impressions: they are marked randomised. No media.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from interest.catalog import Catalog
from interest.datasets import tables
from interest.datasets.impressions import Impressions, concat, duration_s
from interest.errors import InvalidRecord
from interest.records import Rejected, Video

COLUMNS = ("user_id", "video_id", "play_duration", "video_duration", "timestamp")
MATRICES = {"big_matrix.csv": False, "small_matrix.csv": True}
"""The files and whether their impressions are free of selection."""
CAPTIONS = "kuairec_caption_category.csv"
CATEGORIES = "item_categories.csv"


def recognises(folder: Path) -> bool:
    """Whether the folder holds this layout."""
    return any(path for name in MATRICES for path in folder.rglob(name))


def read(folder: Path) -> tuple[Catalog, pa.Table]:
    """The videos of the matrices and the canonical events; raises `InvalidRecord` with file, column, row.

    Rows without a time and repeated rows (the public files have both) are left out and counted among the
    catalogue's rejected.
    """
    parts: list[Impressions] = []
    lengths: list[pa.Table] = []
    rejected: list[Rejected] = []
    for name, randomised in MATRICES.items():
        for path in sorted(folder.rglob(name)):
            table, left_out = _usable(tables.read_csv(path, COLUMNS), path)
            rejected += left_out
            parts.append(_impressions(table, path, randomised))
            length = tables.integer_column(table, "video_duration", path, least=0)
            lengths.append(pa.table({"video": parts[-1].videos, "ms": length}))
    if not parts:
        raise InvalidRecord(f"{folder.name} has neither {' nor '.join(MATRICES)}, the logs of KuaiRec")
    longest = pa.concat_tables(lengths).group_by("video", use_threads=False).aggregate([("ms", "max")])
    captions, topics = _texts(folder, rejected)
    videos = (
        Video(
            video_id=row["video"],
            uri="",
            caption=captions.get(row["video"], ""),
            duration_s=duration_s(row["ms_max"]),
            topic=topics.get(row["video"]),
        )
        for row in longest.to_pylist()
    )
    return Catalog(tuple(videos), tuple(rejected)), concat(parts).events("kuairec")


def _usable(table: pa.Table, path: Path) -> tuple[pa.Table, list[Rejected]]:
    timed = table.filter(table["timestamp"].is_valid())
    numbered = timed.append_column("row", pa.array(np.arange(len(timed))))
    keys = ["user_id", "video_id", "timestamp"]
    first = numbered.group_by(keys, use_threads=False).aggregate([("row", "min")])
    unique = timed.take(np.sort(first["row_min"].to_numpy()))
    untimed, repeated = len(table) - len(timed), len(timed) - len(unique)
    rejected = []
    if untimed:
        rejected.append(Rejected(item=path.name, reason=f"{untimed} rows without a timestamp"))
    if repeated:
        rejected.append(Rejected(item=path.name, reason=f"{repeated} rows that repeat viewer, video and time"))
    return unique, rejected


def _impressions(table: pa.Table, path: Path, randomised: bool) -> Impressions:
    none = np.zeros(len(table), np.bool_)
    seconds = tables.number_column(table, "timestamp", path, least=0)
    return Impressions(
        users=tables.id_column(table, "user_id", path),
        videos=tables.id_column(table, "video_id", path),
        ts_ms=np.round(seconds * 1000).astype(np.int64),
        watch_ms=tables.integer_column(table, "play_duration", path, least=0),
        liked=none,
        shared=none,
        skipped=none,
        shown=~none,
        randomised=np.full(len(table), randomised),
    )


def _texts(folder: Path, rejected: list[Rejected]) -> tuple[dict[str, str], dict[str, str | None]]:
    """Captions and topics by video id; what cannot be read is added to `rejected`."""
    captions: dict[str, str] = {}
    topics: dict[str, str | None] = {}
    for path in sorted(folder.rglob(CATEGORIES)):
        for row in tables.read_csv(path, ("video_id", "feat")).to_pylist():
            topics[row["video_id"]] = (row["feat"] or "").strip("[] ").split(",")[0] or None
    for path in sorted(folder.rglob(CAPTIONS)):
        broken = 0
        rows = tables.read_cells(path)
        header = next(rows, [])
        tables.require(header, ("video_id", "caption", "first_level_category_name"), path)
        # The public file has captions with bare line breaks, which tear their rows apart.
        for cells in rows:
            row = dict(zip(header, cells, strict=False))
            if len(cells) != len(header) or not row["video_id"].isdecimal():
                broken += 1
                continue
            captions[row["video_id"]] = _told(row["caption"])
            topics[row["video_id"]] = _told(row["first_level_category_name"]) or topics.get(row["video_id"])
        if broken:
            rejected.append(Rejected(item=path.name, reason=f"{broken} rows torn apart, left without caption"))
    return captions, topics


def _told(text: str) -> str:
    return "" if text == "UNKNOWN" else text
