"""The catalogue's captions to embeddings: `text` float32 [N, 384] and `has_text` uint8 [N] a shard."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from components.media_shards import Report, Tensors, shards
from interest.features.text import TextEncoder, TextSettings, normalise
from interest.records import Rejected, Video
from wire.objects import ObjectStore


def run(catalog: Path, features: Path, *, tokens: int = 256, max_failed_share: float = 0.5) -> dict[str, Any]:
    """Write the folder `features`. Every caption can be used; an empty one has `has_text` 0."""
    settings = TextSettings(tokens=tokens)
    # The machine's cores are no matter of the embedding: they do not enter the key of a shard.
    encoder = cache(lambda: TextEncoder(settings, threads=len(os.sched_getaffinity(0))))

    def make(videos: Sequence[Video], report: Report) -> tuple[Tensors, list[Rejected]]:
        vectors = encoder().encode([video.caption for video in videos], lambda done, _: report(done))
        return {"text": vectors, "has_text": np.asarray(vectors.any(axis=1), np.uint8)}, []

    return shards(
        ObjectStore.from_env(),
        catalog,
        features,
        label="captions",
        settings=settings,
        source=_source,
        make=make,
        max_failed_share=max_failed_share,
    )


def _source(video: Video) -> str:
    return sha256(normalise(video.caption).encode()).hexdigest()
