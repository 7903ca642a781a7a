"""A model's catalogue in memory: what scoring needs of each video, computed once when it enters."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from interest.bundle import CatalogueTable
from interest.history import log_length
from interest.viewer_rows import Keys, video_key

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

CHUNK = 4096
"""Videos that one pass of the item encoder takes."""
SPARE = 64
"""Rows that a grown catalogue has room for at least."""


class Items(NamedTuple):
    """Arrays by row of the catalogue; row -1 stands for every video that the model does not know.

    `content` [V, M, C], `token` [V, D], `query` and `value` [V, M, D], `appeal` [V, 1 + M], `duration_s` [V]: see
    `fusion_predictor.Items`, and `export` for the form that queries and values have here.
    """

    content: Floats
    token: Floats
    query: Floats
    value: Floats
    appeal: Floats
    duration_s: NDArray[np.float64]


@dataclass(frozen=True)
class _Keys:
    """Sorted keys, and the catalogue's row of each."""

    keys: Keys
    rows: Ints


class Catalogue:
    """Videos by id and by key. It may grow in one thread while others read: rows once given stay as they are."""

    def __init__(self, table: CatalogueTable, encoder: onnxruntime.InferenceSession, drop: Sequence[int] = ()) -> None:
        self._encoder = encoder
        content = np.concatenate([table.content, table.missing[None]])
        content[:, list(drop)] = table.missing[list(drop)]
        self.items = self.encode(content, np.append(table.duration_s, 0.0))
        self.index = {video_id: row for row, video_id in enumerate(table.video_ids)}
        self._used = len(table.video_ids)
        self._growing = threading.Lock()
        self._keys = self._sorted()

    def __len__(self) -> int:
        return len(self.index)

    @property
    def duration_s(self) -> NDArray[np.float64]:
        """The videos' lengths by row, 0 for an unknown one."""
        return self.items.duration_s

    def rows(self, video_ids: Sequence[str]) -> Ints:
        """Rows by id; -1 for a video that the model does not know."""
        return np.array([self.index.get(video_id, -1) for video_id in video_ids], np.int64)

    def rows_of(self, keys: Keys) -> Ints:
        """Rows by `viewer_rows.video_key`; -1 for a video that the model does not know."""
        known = self._keys
        if not len(known.keys):
            return np.full(len(keys), -1)
        place = np.minimum(np.searchsorted(known.keys, keys), len(known.keys) - 1)
        return np.where(known.keys[place] == keys, known.rows[place], -1)

    def put(self, video_ids: Sequence[str], content: Floats, duration_s: NDArray[np.float64]) -> None:
        """Add videos with `content` [n, M, C], or give those that are known a new one."""
        with self._growing:
            new, first = self.encode(content, duration_s), self._used
            self._make_room(first + len(video_ids))
            for column, values in zip(self.items._asdict().values(), new, strict=True):
                column[first : first + len(video_ids)] = values
            self.index.update((video_id, first + number) for number, video_id in enumerate(video_ids))
            self._used = first + len(video_ids)
            self._keys = self._sorted()

    def encode(self, content: Floats, duration_s: NDArray[np.float64]) -> Items:
        """What scoring needs of videos with `content` [n, M, C] and lengths `duration_s` [n]; nothing is kept."""
        inputs = {"content": content, "log_length": log_length(duration_s)}
        parts = [
            self._encoder.run(None, {name: values[i : i + CHUNK] for name, values in inputs.items()})
            for i in range(0, len(content), CHUNK)
        ]
        token, query, value, appeal = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Items(content, token, query, value, appeal, duration_s)

    def _make_room(self, rows: int) -> None:
        """Have arrays for that many rows and the unknown one behind them."""
        if rows < len(self.items.content):
            return
        more = max(rows // 4, SPARE)
        grown = []
        for column in self.items:
            wider = np.empty((rows + more + 1, *column.shape[1:]), column.dtype)
            wider[: self._used], wider[-1] = column[: self._used], column[-1]
            grown.append(wider)
        self.items = Items(*grown)

    def _sorted(self) -> _Keys:
        keys = np.fromiter(map(video_key, self.index), np.uint64, len(self.index))
        rows = np.fromiter(self.index.values(), np.int64, len(self.index))
        order = np.argsort(keys)
        return _Keys(keys[order], rows[order])
