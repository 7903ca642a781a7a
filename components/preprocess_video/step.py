"""The catalogue's videos to pictures: `frames` uint8 [N, W, T, S, S, 3] and `has_video` uint8 [N] a shard."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from components.media_shards import Tensors, media_shards
from interest.features.frames import FrameSettings, read_frames
from interest.features.pictures import Pixels


def run(
    catalog: Path,
    features: Path,
    *,
    windows: int = 3,
    frames: int = 8,
    size: int = 64,
    fps: float = 8.0,
    max_failed_share: float = 0.5,
) -> dict[str, Any]:
    """Write the folder `features`; raises `TooManyRejected` above `max_failed_share` of unreadable videos."""
    settings = FrameSettings(windows=windows, frames=frames, size=size, fps=fps)
    return media_shards(
        catalog,
        features,
        label="frames",
        settings=settings,
        read=partial(read_frames, settings=settings),
        pack=partial(pack, settings=settings),
        max_failed_share=max_failed_share,
    )


def pack(pictures: list[Pixels | None], settings: FrameSettings) -> Tensors:
    """A shard's tensors; zeros where there are no pictures."""
    shape = (len(pictures), settings.windows, settings.frames, settings.size, settings.size, 3)
    frames = np.zeros(shape, np.uint8)
    for row, picture in enumerate(pictures):
        if picture is not None:
            frames[row] = picture
    return {"frames": frames, "has_video": np.array([p is not None for p in pictures], np.uint8)}
