"""A small world with features that carry its signals directly, for tests that need something to learn."""

from __future__ import annotations

import numpy as np

from interest.catalog import Catalog
from interest.datasets.samples import Dataset, build
from interest.records import Video
from interest.simulator.log import events_table
from interest.simulator.viewers import Impressions, simulate
from interest.simulator.world import VideoLatents, sample_videos, signals, video_id
from interest.training.features import FeatureArrays


def small_world(
    videos: int = 60, viewers: int = 80, steps: int = 30, seed: int = 1
) -> tuple[VideoLatents, Catalog, Impressions, Dataset]:
    latents = sample_videos(videos, seed)
    catalog = Catalog(
        tuple(
            Video(video_id=video_id(row), uri="", duration_s=float(length))
            for row, length in enumerate(latents.length_s)
        )
    )
    log = simulate(latents, viewers, steps, seed)
    return latents, catalog, log, build(catalog, events_table(log, catalog))


def signal_features(latents: VideoLatents, seed: int = 1) -> FeatureArrays:
    """Frames whose mean colours, MFCC and text vectors are the signals; small enough to train on in seconds."""
    seen, rng = signals(latents, seed), np.random.default_rng(seed)
    count = len(latents)
    frames = rng.integers(100, 156, (count, 2, 4, 16, 16, 3)).astype(np.float64)
    frames += 15.0 * seen["video"][:, None, None, None, None, :3]
    mfcc = 0.3 * rng.standard_normal((count, 2, 20, 12))
    mfcc[:, :, :6] += seen["audio"][:, None, :, None]
    text = np.zeros((count, 384))
    text[:, :6] = 0.1 * seen["text"]
    present = np.ones((count, 3), bool)
    present[0, 0] = present[1, 1] = present[2, 2] = False
    return FeatureArrays(
        frames.clip(0, 255).astype(np.uint8), mfcc.astype(np.float32), text.astype(np.float32), present
    )
