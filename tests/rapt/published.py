"""A published model whose dataset is a simulated world's, or not; its graphs are no graphs, since nobody runs them."""

from __future__ import annotations

import secrets
from pathlib import Path

from interest.bundle import REQUIRED, seal
from interest.catalog import VIDEOS, Catalog, write_jsonl
from interest.records import Video
from interest.simulator.world import VideoLatents, sample_videos, video_id
from wire.models import publish_bundle
from wire.objects import ObjectStore


def world(videos: int = 60, seed: int = 3) -> tuple[Catalog, VideoLatents]:
    """A catalogue and its latents."""
    latents = sample_videos(videos, seed)
    records = (Video(video_id=video_id(row), uri="", duration_s=float(s)) for row, s in enumerate(latents.length_s))
    return Catalog(tuple(records)), latents


def publish(store: ObjectStore, folder: Path, *, simulated: bool) -> str:
    """Digest of a new model in the store."""
    bundle, dataset = folder / "bundle", folder / "dataset"
    bundle.mkdir(parents=True)
    dataset.mkdir()
    for name in REQUIRED:
        (bundle / name).write_bytes(name.encode())
    catalog, latents = world()
    write_jsonl(dataset / VIDEOS, catalog)
    if simulated:
        latents.write(dataset)
    digest = seal(bundle, {"data": {"dataset": secrets.token_hex(32)}})
    publish_bundle(store, bundle, digest, dataset, published_at_ms=1)
    return digest
