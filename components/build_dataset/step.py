"""Events to point-in-time samples, split by time."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from interest.catalog import VIDEOS, Catalog, write_jsonl
from interest.datasets.events import read_events
from interest.datasets.samples import LABEL_WINDOW_S, TRUTH, Dataset, Split, build
from interest.simulator.world import LATENTS


def run(catalog: Path, events: Path, dataset: Path, *, label_window_s: float = LABEL_WINDOW_S) -> dict[str, int]:
    """Write the dataset folder: samples, the catalogue's records, and what only a simulated world knows.

    A simulated log's truth lies row by row as the targets, its latents as the videos.
    """
    table = read_events(events / "events.parquet")
    videos = Catalog.read(catalog)
    samples = build(videos, table, label_window_s=label_window_s)
    samples.write(dataset)
    write_jsonl(dataset / VIDEOS, videos)
    if (events / LATENTS).exists():
        shutil.copyfile(events / LATENTS, dataset / LATENTS)
    if (events / "truth.parquet").exists():
        shown = table["event_id"].take(samples.targets.event)
        truth = pq.read_table(events / "truth.parquet")
        place = {event_id: row for row, event_id in enumerate(truth["event_id"].to_pylist())}
        rows = np.array([place[event_id] for event_id in shown.to_pylist()], np.int64)
        columns = [name for name in truth.column_names if name != "event_id"]
        save_file({name: truth[name].to_numpy()[rows] for name in columns}, dataset / TRUTH)
    return _counts(samples)


def _counts(samples: Dataset) -> dict[str, int]:
    counts = {split.name.lower(): len(samples.rows(split)) for split in Split}
    return counts | {"viewers": len(samples.users), "videos": len(samples.videos)}
