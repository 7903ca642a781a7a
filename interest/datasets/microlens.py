"""MicroLens (Ni et al., 2023): `*_pairs.csv` (or `.tsv`), titles, and videos in files named by item.

A pair says that a viewer took part (commented): an impression with a like. The layout is positive only:
nothing in it says what was shown and left, so every outcome is *engaged*. It serves for histories and
embeddings; an engagement model needs other logs beside it. No negatives are made up here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from interest.catalog import Catalog
from interest.datasets import tables
from interest.datasets.impressions import UNKNOWN_DURATION_S, Impressions, spread
from interest.errors import InvalidRecord
from interest.records import Rejected, Video


def recognises(folder: Path) -> bool:
    """Whether the folder holds this layout."""
    return any(_pairs(folder))


def read(folder: Path) -> tuple[Catalog, pa.Table]:
    """The items of pairs and titles, the canonical events; `InvalidRecord` names file, column and row."""
    pairs = _pairs(folder)
    if not pairs:
        raise InvalidRecord(f"{folder.name} has neither *pairs.csv nor *pairs.tsv, the pairs of MicroLens")
    users, items, ts_ms = _timed(pairs[0]) if pairs[0].suffix == ".csv" else _ordered(pairs[0])
    none = np.zeros(len(ts_ms), np.bool_)
    log = Impressions(
        users=users,
        videos=items,
        ts_ms=ts_ms,
        watch_ms=np.full(len(ts_ms), -1),
        liked=~none,
        shared=none,
        skipped=none,
        shown=~none,
        randomised=none,
    )
    return _catalog(folder, items, [path.name for path in pairs[1:]]), log.events("microlens")


def _pairs(folder: Path) -> list[Path]:
    """The files with pairs; the one with times (`.csv`) comes first."""
    return sorted(folder.rglob("*pairs.csv")) + sorted(folder.rglob("*pairs.tsv"))


def _timed(path: Path) -> tuple[pa.Array, pa.Array, np.ndarray]:
    table = tables.read_csv(path, ("user", "item", "timestamp"))
    return (
        tables.id_column(table, "user", path),
        tables.id_column(table, "item", path),
        tables.integer_column(table, "timestamp", path, least=0),
    )


def _ordered(path: Path) -> tuple[pa.Array, pa.Array, np.ndarray]:
    """A row is a user, a tab, and the items in order with spaces between; there are no times."""
    users: list[str] = []
    items: list[str] = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            user, tab, rest = line.rstrip("\r\n").partition("\t")
            if not (user and tab and rest.split()):
                raise InvalidRecord(f"{path.name} row {number}: {line[:40]!r} is not: user, tab, items")
            users += [user] * len(rest.split())
            items += rest.split()
    ids = pa.array(users, pa.string())
    return ids, pa.array(items, pa.string()), spread(ids.dictionary_encode().indices.to_numpy())


def _catalog(folder: Path, items: pa.Array, unread: list[str]) -> Catalog:
    titles = _titles(folder)
    media = {path.stem: path for path in sorted(folder.rglob("*.mp4"))}
    rejected = [Rejected(item=name, reason="the same pairs again: the first file is read") for name in unread]
    ids = dict.fromkeys([*items.unique().to_pylist(), *titles])
    videos = (
        Video(
            video_id=item,
            uri=str(media[item].resolve()) if item in media else "",
            caption=titles.get(item, ""),
            duration_s=UNKNOWN_DURATION_S,
        )
        for item in ids
    )
    return Catalog(tuple(videos), tuple(rejected))


def _titles(folder: Path) -> dict[str, str]:
    """Titles by item, of files with the columns item and title, with or without a header."""
    titles: dict[str, str] = {}
    for path in sorted(folder.rglob("*title*.csv")):
        for number, cells in enumerate(tables.read_cells(path)):
            if len(cells) < 2:
                raise InvalidRecord(f"{path.name} row {number}: {cells} is not: item, title")
            if number or cells[0].isdecimal():
                titles[cells[0]] = cells[1]
    return titles
