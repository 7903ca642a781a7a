"""The simulated world's fixed constants and its videos: what each is about, and the signals that carry it.

A change of `WorldParams`' defaults is a change of the benchmark. Formulas: docs/simulator.md.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from interest.catalog import Catalog
from interest.models.names import MODALITIES

Floats = NDArray[np.float64]

LATENTS = "latents.safetensors"
SIGNALS = 6
"""Coordinates of each modality's signal: of the 9 directions a video is made of, each modality lacks 3."""


@dataclass(frozen=True)
class WorldParams:
    """All constants of the world; names follow the formulas in docs/simulator.md."""

    topics: int = 8
    topic_concentration: float = 0.25
    topic_scale: float = 2.2
    length_median_s: float = 20.0
    length_sigma: float = 0.6
    signal_noise: float = 0.45
    signal_seed: int = 20_261_101

    b0: float = 0.15
    bz: float = 1.25
    bq: float = 0.5
    bf: float = 0.35
    bn: float = 0.02
    bl: float = 0.45
    eta: float = 0.48
    positions: int = 5
    rho: float = 0.96
    fatigue_decay: float = 0.8
    fatigue_new_session: float = 0.3
    leave_intercept: float = -3.2
    leave_per_event: float = 0.06
    leave_engagement: float = 1.5
    engagement_ema: float = 0.3
    skim_s: float = 2.0

    randomised_share: float = 0.1
    popularity_share: float = 0.5
    slate: int = 8
    policy_noise: float = 1.0

    start_ms: int = 1_790_000_000_000
    horizon_days: float = 14.0
    session_gap_median_h: float = 24.0
    session_gap_sigma: float = 0.6
    late_viewers_share: float = 0.05
    late_viewers_gap: float = 0.25
    late_videos_share: float = 0.12
    late_from: float = 0.8


REFERENCE = WorldParams()


@dataclass(frozen=True)
class VideoLatents:
    """What the videos truly are, row by row: `theta` [V, K], `q` [V], `length_s` [V], `published_ms` [V]."""

    theta: Floats
    q: Floats
    length_s: Floats
    published_ms: NDArray[np.int64]
    params: WorldParams = REFERENCE

    def __len__(self) -> int:
        return len(self.q)

    @property
    def t(self) -> Floats:
        """Topic vector t = 2.2 (theta - 1/K), [V, K]."""
        return self.params.topic_scale * (self.theta - 1.0 / self.params.topics)

    def write(self, folder: Path) -> None:
        """Write `LATENTS` into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        columns = {
            "theta": self.theta,
            "q": self.q,
            "length_s": self.length_s,
            "published_ms": self.published_ms,
        }
        save_file(columns, folder / LATENTS)

    @staticmethod
    def read(folder: Path, params: WorldParams = REFERENCE) -> VideoLatents:
        """Read what `write` wrote."""
        return VideoLatents(**load_file(folder / LATENTS), params=params)


def sample_videos(count: int, seed: int, params: WorldParams = REFERENCE) -> VideoLatents:
    """Draw `count` videos; the last `late_videos_share` of them are published late in the horizon."""
    rng = np.random.default_rng([seed, 1])
    late = rng.random(count) < params.late_videos_share
    fraction = np.where(late, rng.uniform(params.late_from, 0.97, count), -0.1 * rng.random(count))
    return VideoLatents(
        theta=rng.dirichlet([params.topic_concentration] * params.topics, count),
        q=rng.standard_normal(count),
        length_s=np.clip(rng.lognormal(np.log(params.length_median_s), params.length_sigma, count), 2.0, 120.0),
        published_ms=params.start_ms + (fraction * params.horizon_days * 86_400_000).astype(np.int64),
        params=params,
    )


def video_id(row: int) -> str:
    """Id of a rendered video."""
    return f"sim-{row:05d}"


def latents_of(catalog: Catalog, latents: VideoLatents) -> VideoLatents:
    """Latents of every catalogue row: the rendered videos' own, others by their id's hash.

    A real clip has no latent truth, so one is fixed for it: viewers then react to it consistently, and
    no model can learn that reaction from its pixels.
    """
    params = latents.params
    known = {video_id(row): row for row in range(len(latents))}
    theta, q, length = [], [], []
    for video in catalog:
        if (row := known.get(video.video_id)) is not None:
            theta.append(latents.theta[row])
            q.append(latents.q[row])
        else:
            digest = hashlib.sha256(video.video_id.encode()).digest()
            rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
            theta.append(rng.dirichlet([params.topic_concentration] * params.topics))
            q.append(rng.standard_normal())
        length.append(max(video.duration_s, 0.1))
    published = [video.published_at_ms or params.start_ms for video in catalog]
    return VideoLatents(np.array(theta), np.array(q), np.array(length), np.array(published, np.int64), params)


def signals(latents: VideoLatents, seed: int) -> dict[str, Floats]:
    """Each modality's signal x_m = A_m [t; q; log l] + sigma eps, [V, 6], scaled to unit variance.

    The nine standardised directions (seven of t, one each of q and log l) are rotated; every modality
    sees six of them through its own mixing, so each direction is seen by exactly two modalities.
    """
    params = latents.params
    rng = np.random.default_rng(params.signal_seed)
    directions = _standardised(latents)
    rotation = _orthonormal(rng, directions.shape[1])
    noise = np.random.default_rng([seed, 2])
    result: dict[str, Floats] = {}
    for number, modality in enumerate(MODALITIES):
        seen = np.delete(rotation, slice(3 * number, 3 * number + 3), axis=0)
        clean = directions @ (_orthonormal(rng, SIGNALS) @ seen).T
        noisy = clean + params.signal_noise * noise.standard_normal(clean.shape)
        result[modality] = noisy / np.sqrt(1.0 + params.signal_noise**2)
    return result


def examination(position: NDArray[np.integer], params: WorldParams) -> Floats:
    """Chance that a viewer looks at a position at all: e_p = p^-eta."""
    return np.asarray(position, float) ** -params.eta


def sigmoid(x: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-x))


def _standardised(latents: VideoLatents) -> Floats:
    """[t (7 free directions); q; log length], each with unit variance under the world's own law: [V, 9]."""
    params = latents.params
    k, a = params.topics, params.topic_concentration
    basis = np.linalg.svd(np.eye(k) - 1.0 / k)[0][:, : k - 1]
    variance = (1.0 / k) * (1.0 - 1.0 / k) / (k * a + 1.0) * k / (k - 1.0)
    topics = (latents.theta - 1.0 / k) @ basis / np.sqrt(variance)
    length = np.log(latents.length_s / params.length_median_s) / params.length_sigma
    return np.column_stack([topics, latents.q, length])


def _orthonormal(rng: np.random.Generator, size: int) -> Floats:
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    return q * np.sign(np.diag(r))
