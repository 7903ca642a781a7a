"""The catalogue's sound to coefficients: `mfcc` float32 [N, W, C, F] and `has_audio` uint8 [N] a shard."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from components.media_shards import Tensors, media_shards
from interest.features.audio import AudioSettings, Sound, mfcc, read_sound


def run(
    catalog: Path,
    features: Path,
    *,
    windows: int = 3,
    window_s: float = 1.0,
    coefficients: int = 20,
    max_failed_share: float = 0.5,
) -> dict[str, Any]:
    """Write the folder `features`; raises `TooManyRejected` above `max_failed_share` of unreadable videos."""
    settings = AudioSettings(windows=windows, window_s=window_s, coefficients=coefficients)
    return media_shards(
        catalog,
        features,
        label="sound",
        settings=settings,
        read=partial(read_sound, settings=settings),
        pack=partial(pack, settings=settings),
        max_failed_share=max_failed_share,
    )


def pack(sounds: list[Sound | None], settings: AudioSettings) -> Tensors:
    """A shard's tensors, transformed in one batch; zeros where there is no sound."""
    coefficients = np.zeros((len(sounds), settings.windows, settings.coefficients, settings.spectra), np.float32)
    heard = [row for row, sound in enumerate(sounds) if sound is not None]
    if heard:
        coefficients[heard] = mfcc(np.stack([s for s in sounds if s is not None]), settings)
    return {"mfcc": coefficients, "has_audio": np.array([s is not None for s in sounds], np.uint8)}
