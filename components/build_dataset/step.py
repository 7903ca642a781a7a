"""Events to point-in-time samples, split by time."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors.numpy import save_file

from interest.catalog import VIDEOS, Catalog, write_jsonl
from interest.datasets.events import read_events
from interest.datasets.samples import LABEL_WINDOW_S, TRUTH, WEIGHTS, Dataset, Split, build
from interest.simulator.world import LATENTS


def run(catalog: Path, events: Path, dataset: Path, *, label_window_s: float = LABEL_WINDOW_S) -> dict[str, int]:
    """Write the dataset folder: samples, the catalogue's records, and what only a simulated world knows.

    A simulated log's truth lies row by row as the targets, its latents as the videos.
    """
    table = read_events(events / "events.parquet")
    videos = Catalog.read(catalog)
    samples = build(videos, table, label_window_s=label_window_s)
    shown = table["event_id"].take(samples.targets.event).to_pylist()
    if (events / WEIGHTS).exists():
        weights = _of(events / WEIGHTS, shown)
        weight, full = (weights[name].astype(np.float32) for name in ("weight", "full_weight"))
        samples = replace(samples, targets=replace(samples.targets, weight=weight, full_weight=full))
    samples.write(dataset)
    write_jsonl(dataset / VIDEOS, videos)
    if (events / LATENTS).exists():
        shutil.copyfile(events / LATENTS, dataset / LATENTS)
    if (events / "truth.parquet").exists():
        save_file(_of(events / "truth.parquet", shown), dataset / TRUTH)
    return _counts(samples)


def _of(file: Path, event_ids: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The columns of a table beside the events, for these events and in their order."""
    table = pq.read_table(file)
    place = {event_id: row for row, event_id in enumerate(table["event_id"].to_pylist())}
    rows = np.array([place[event_id] for event_id in event_ids], np.int64)
    return {name: table[name].to_numpy()[rows] for name in table.column_names if name != "event_id"}


def _counts(samples: Dataset) -> dict[str, int]:
    counts = {split.name.lower(): len(samples.rows(split)) for split in Split}
    return counts | {"viewers": len(samples.users), "videos": len(samples.videos)}
