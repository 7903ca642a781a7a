"""A map of embeddings in two dimensions by t-SNE; new points find their place, old ones stay where they are.

t-SNE: van der Maaten and Hinton, JMLR 2008; the implementation and the placing of new points: openTSNE
(Poličar, Stražar and Zupan, 2019). Distances between far groups on the map mean nothing; neighbours do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from openTSNE import TSNE, TSNEEmbedding
from openTSNE.affinity import PerplexityBasedNN
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from interest.errors import InvalidRecord, InvalidSetting

FILE = "projection.safetensors"
FEWEST = 5
"""Below so many points there are no neighbourhoods: they lie on a circle, and a new one at its nearest."""
NEIGHBOURS = 25
"""A new point lies at the median of so many nearest known ones."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Projection:
    """`points` [N, 2] of `embeddings` [N, D]; `perplexity` as asked for, capped inside for small N."""

    embeddings: Floats
    points: Floats
    seed: int
    perplexity: float

    def transform(self, new: ArrayLike) -> Floats:
        """Places [M, 2] for embeddings [M, D] of the same model; `InvalidRecord` for NaN or another width."""
        rows = _checked(new)
        known, width = self.embeddings.shape
        if rows.shape[1] != width:
            raise InvalidRecord(f"embeddings have {rows.shape[1]} columns, the projection was fitted on {width}")
        if not known and len(rows):
            raise InvalidRecord("the projection was fitted on no embedding; fit it on some before placing new ones")
        if not len(rows):
            return np.zeros((0, 2), np.float32)
        if known < FEWEST:
            distances = np.linalg.norm(rows[:, None] - self.embeddings[None], axis=2)
            return np.asarray(self.points[distances.argmin(axis=1)])
        placed = self._map.prepare_partial(rows.astype(np.float64), initialization="median", k=min(NEIGHBOURS, known))
        return np.asarray(placed, dtype=np.float32)

    @cached_property
    def _map(self) -> TSNEEmbedding:
        affinities = _affinities(self.embeddings, self.seed, self.perplexity)
        return TSNEEmbedding(self.points.astype(np.float64), affinities, random_state=self.seed, n_jobs=1)

    def write(self, folder: Path) -> None:
        """Write embeddings, points and settings into `folder`; the neighbours are found again on use."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {"embeddings": self.embeddings, "points": self.points}
        settings = {"seed": str(self.seed), "perplexity": repr(self.perplexity)}
        save_file(arrays, folder / FILE, metadata=settings)

    @staticmethod
    def read(folder: Path) -> Projection:
        """Read what `write` wrote; raises `InvalidRecord` for a file that it did not write whole."""
        try:
            with safe_open(folder / FILE, framework="numpy") as file:
                settings = file.metadata() or {}
                return Projection(
                    embeddings=file.get_tensor("embeddings"),
                    points=file.get_tensor("points"),
                    seed=int(settings["seed"]),
                    perplexity=float(settings["perplexity"]),
                )
        except (SafetensorError, KeyError, ValueError) as error:
            raise InvalidRecord(f"{FILE} is no whole projection ({error}); fit it again") from error


def fit(embeddings: ArrayLike, *, seed: int = 0, perplexity: float = 30.0) -> Projection:
    """The map of embeddings [N, D]; the same input, seed and machine give the same points.

    The perplexity is capped at (N - 1) / 3. Raises `InvalidRecord` for NaN, infinity or another shape, and
    `InvalidSetting` for a perplexity below 1.
    """
    if not perplexity >= 1:
        raise InvalidSetting(f"perplexity={perplexity} is below 1; 5 to 50 are usual")
    rows = _checked(embeddings)
    if len(rows) < FEWEST:
        angles = 2 * np.pi * np.arange(len(rows)) / max(1, len(rows))
        points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    else:
        tsne = TSNE(initialization=_start(rows, seed), random_state=seed, n_jobs=1)
        points = np.asarray(tsne.fit(affinities=_affinities(rows, seed, perplexity)))
    return Projection(rows, np.ascontiguousarray(points, dtype=np.float32), seed, perplexity)


def _affinities(rows: Floats, seed: int, perplexity: float) -> PerplexityBasedNN:
    capped = min(perplexity, (len(rows) - 1) / 3)
    return PerplexityBasedNN(rows.astype(np.float64), perplexity=capped, random_state=seed, n_jobs=1)


def _start(rows: Floats, seed: int) -> NDArray[np.float64]:
    """The first two principal components, small, with a jitter that parts equal embeddings."""
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    plane = np.zeros((len(rows), 2))
    plane[:, : min(2, rows.shape[1])] = centred @ axes[:, ::-1][:, :2]
    scale = plane[:, 0].std()
    jitter = np.random.default_rng(seed).normal(size=plane.shape)
    return 1e-4 * (plane / scale if scale > 0 else plane) + 1e-6 * jitter


def _checked(embeddings: ArrayLike) -> Floats:
    rows = np.ascontiguousarray(embeddings, dtype=np.float32)
    if rows.ndim != 2 or not rows.shape[1]:
        raise InvalidRecord(f"embeddings have the shape {rows.shape}, not [points, width]")
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        raise InvalidRecord(f"embeddings row {int(bad.argmax())} holds NaN or infinity; drop it or mend the encoder")
    return rows
