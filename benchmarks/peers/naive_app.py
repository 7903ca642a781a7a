"""The naive service: it encodes every candidate from pixels, sound and text on each request, then scores.

    python -m benchmarks.peers.naive_app PORT

It runs in bare FastAPI. The raw features lie in memory, decoded: no file is read; candidates go through the encoders
`BATCH` at a time. The history's videos stay encoded, which favours it.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.material import raw_features, videos
from benchmarks.peers import fastapi_app
from benchmarks.peers.host import Host
from interest.bundle import CatalogueTable
from interest.items import Catalogue
from interest.models.names import MODALITIES
from interest.scoring import session

BATCH = 20
"""Videos that go through an encoder at once."""


class NaiveHost(Host):
    """As its base, with all that is known of the candidates made anew for each request."""

    def __init__(self, bundle: Path, histories: Path, now_ms: int) -> None:
        super().__init__(bundle, histories, now_ms)
        made, opened = raw_features(videos()), self.scorer.bundle
        self.raw: tuple[NDArray[Any], ...] = (made.frames, made.mfcc, made.text)
        self.encoders = [session(opened, f"content_{name}", 1) for name in MODALITIES]
        self.items = session(opened, "item_encoder", 1)
        self.missing = opened.catalogue().missing

    def scores(self, user_id: str, video_ids: Sequence[str]) -> list[float]:
        known, rows = self.scorer.catalogue, self.scorer.catalogue.rows(video_ids)
        fresh = CatalogueTable(tuple(video_ids), self.encode(rows), known.duration_s[rows], self.missing)
        items = Catalogue(fresh, self.items).items
        for name in items._fields:
            getattr(known.items, name)[rows] = getattr(items, name)[: len(rows)]
        return super().scores(user_id, video_ids)

    def encode(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Content [N, M, C] from raw features."""
        parts = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
        columns = [
            np.concatenate([graph.run(["content"], {graph.get_inputs()[0].name: raw[part]})[0] for part in parts])
            for raw, graph in zip(self.raw, self.encoders, strict=True)
        ]
        return np.stack(columns, axis=1)


if __name__ == "__main__":
    fastapi_app.serve(NaiveHost.from_env(), int(sys.argv[1]))
