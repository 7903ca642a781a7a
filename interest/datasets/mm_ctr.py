"""MM-CTR (WWW 2025, MicroLens-1M): train, valid, item_info and, if there, item_feature, each `.parquet`.

A row is a viewer's clicks in order (`item_seq`, padded with 0) and one candidate with its label. A candidate
is an impression with a like (label 1) or a skip (label 0). A click is a like without an impression: it enters
the history and is no target, since nothing tells what was shown and not clicked then. There are no times:
each viewer's clicks, then candidates in file order, are laid evenly over 30 days. No media.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from interest.catalog import Catalog
from interest.datasets import tables
from interest.datasets.impressions import UNKNOWN_DURATION_S, Bools, Impressions, Ints, spread
from interest.errors import InvalidRecord
from interest.records import Rejected, Video

HISTORY_ITEMS = 20
"""The most recent clicks of a viewer that are taken: with all 100 a million viewers need 100 million rows."""
LABELLED = ("train.parquet", "valid.parquet")
ITEMS, FEATURES, UNLABELLED = "item_info.parquet", "item_feature.parquet", "test.parquet"
PADDING = 0


def recognises(folder: Path) -> bool:
    """Whether the folder holds this layout."""
    return any(folder.rglob(ITEMS)) and any(folder.rglob(LABELLED[0]))


def read(folder: Path) -> tuple[Catalog, pa.Table]:
    """The items and the canonical events; raises `InvalidRecord` naming file, column and row."""
    paths = [path for name in LABELLED for path in sorted(folder.rglob(name))]
    if not paths:
        raise InvalidRecord(f"{folder.name} has no {LABELLED[0]}, the log of MM-CTR")
    users, items, labels, clicks = _rows(paths)
    names = pc.unique(users)
    codes = pc.index_in(users, value_set=names).to_numpy().astype(np.int64)
    viewer, item, liked, shown = _sequence(codes, items, labels, clicks)
    none = np.zeros(len(viewer), np.bool_)
    videos = pa.array(item).cast(pa.string())
    log = Impressions(
        users=names.take(pa.array(viewer)),
        videos=videos,
        ts_ms=spread(viewer),
        watch_ms=np.full(len(viewer), -1),
        liked=liked,
        shared=none,
        skipped=~liked,
        shown=shown,
        randomised=none,
    )
    return _catalog(folder, pc.unique(videos).to_pylist()), log.events("mm_ctr")


def _rows(paths: list[Path]) -> tuple[pa.Array, Ints, Bools, pa.Array]:
    users, items, labels, clicks = [], [], [], []
    for path in paths:
        table = tables.read_parquet(path, ("user_id", "item_seq", "item_id", "label"))
        sequence = table["item_seq"].combine_chunks()
        if not (pa.types.is_list(sequence.type) or pa.types.is_fixed_size_list(sequence.type)):
            sequence = _as_list(sequence, path)
        users.append(tables.id_column(table, "user_id", path))
        items.append(tables.integer_column(table, "item_id", path, least=1))
        labels.append(tables.flag_column(table, "label", path))
        clicks.append(sequence.cast(pa.list_(pa.int64())))
    return pa.concat_arrays(users), np.concatenate(items), np.concatenate(labels), pa.concat_arrays(clicks)


def _as_list(sequence: pa.Array, path: Path) -> pa.Array:
    if not pa.types.is_large_list(sequence.type):
        raise InvalidRecord(f"{path.name} column 'item_seq' is {sequence.type}, not lists of item ids")
    return sequence.cast(pa.list_(sequence.type.value_type))


def _sequence(codes: Ints, items: Ints, labels: Bools, clicks: pa.Array) -> tuple[Ints, Ints, Bools, Bools]:
    """Viewer, item, outcome, and whether it is a candidate, of clicks and candidates, each viewer's in order.

    The clicks are those of the viewer's row with the most. A click on an item that is among the viewer's
    candidates too is left out: it would tell the label.
    """
    row = pc.list_parent_indices(clicks).to_numpy().astype(np.int64)
    clicked = pc.list_flatten(clicks).to_numpy(zero_copy_only=False).astype(np.int64)
    row, clicked = row[clicked != PADDING], clicked[clicked != PADDING]
    count = np.bincount(row, minlength=len(codes))
    order = np.lexsort((np.arange(len(codes)), count, codes))
    longest = order[np.flatnonzero(np.diff(codes[order], append=-1))]
    behind = np.cumsum(count)[row] - np.arange(len(row))
    width = max(int(items.max(initial=0)), int(clicked.max(initial=0))) + 1
    told = np.isin(codes[row] * width + clicked, codes * width + items)
    taken = np.isin(row, longest) & (behind <= HISTORY_ITEMS) & ~told
    viewer = np.concatenate([codes[row[taken]], codes])
    order = np.argsort(viewer, kind="stable")
    item = np.concatenate([clicked[taken], items])
    liked = np.concatenate([np.ones(int(taken.sum()), np.bool_), labels])
    shown = np.repeat([False, True], [int(taken.sum()), len(codes)])
    return viewer[order], item[order], liked[order], shown[order]


def _catalog(folder: Path, logged: list[str]) -> Catalog:
    topics: dict[str, str] = {}
    titles: dict[str, str] = {}
    rejected: list[Rejected] = []
    for path in sorted(folder.rglob(ITEMS)):
        for row in tables.read_parquet(path, ("item_id", "item_tags")).to_pylist():
            tags = [tag for tag in row["item_tags"] or () if tag != PADDING]
            topics[str(row["item_id"])] = str(tags[0]) if tags else ""
    for path in sorted(folder.rglob(FEATURES)):
        for row in tables.read_parquet(path, ("item_id", "item_title")).to_pylist():
            titles[str(row["item_id"])] = row["item_title"] or ""
    for path in sorted(folder.rglob(UNLABELLED)):
        rows = pyarrow.parquet.read_metadata(path).num_rows
        rejected.append(Rejected(item=path.name, reason=f"{rows} rows without a label"))
    ids = dict.fromkeys([*logged, *topics, *titles])
    ids.pop(str(PADDING), None)
    videos = (
        Video(
            video_id=item,
            uri="",
            caption=titles.get(item, ""),
            duration_s=UNKNOWN_DURATION_S,
            topic=topics.get(item) or None,
        )
        for item in ids
    )
    return Catalog(tuple(videos), tuple(rejected))
