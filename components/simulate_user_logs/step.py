"""Let the simulated world's viewers loose on a catalogue: events, and the truth behind each impression."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from components.progress import reporter
from interest.catalog import Catalog
from interest.datasets.events import write_events
from interest.errors import InvalidSetting
from interest.simulator.log import events_table, truth_table
from interest.simulator.viewers import simulate
from interest.simulator.world import VideoLatents, latents_of


def run(catalog: Path, world: Path, events: Path, *, viewers: int, events_per_viewer: int, seed: int) -> dict[str, int]:
    """Write events, their truth and the videos' latents into the folder `events`; returns the counts."""
    if viewers < 1 or events_per_viewer < 1:
        raise InvalidSetting(f"viewers is {viewers} and events_per_viewer {events_per_viewer}; both must be at least 1")
    videos = Catalog.read(catalog)
    latents = latents_of(videos, VideoLatents.read(world))
    log = simulate(latents, viewers, events_per_viewer, seed, reporter("simulate viewers", "steps"))
    events.mkdir(parents=True)
    table = events_table(log, videos)
    write_events(events / "events.parquet", table)
    pq.write_table(truth_table(log, latents), events / "truth.parquet")
    latents.write(events)
    return {"events": table.num_rows, "impressions": log.video.size}
