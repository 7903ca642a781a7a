"""What simulated viewers do with videos drawn at random, before and after a fashion ends."""

from __future__ import annotations

import numpy as np

from interest.simulator.viewers import Viewers
from interest.simulator.world import sample_videos

VIDEOS = 200


def log(seed: int, fashion: float = 0.0, viewers: int = 300, steps: int = 20) -> dict[str, np.ndarray]:
    """One row an impression; all viewers' taste for topic 0 is lower by `fashion`. Nothing else differs by seed."""
    latents = sample_videos(VIDEOS, seed=3)
    crowd = Viewers(viewers, seed, latents)
    crowd.taste[:, 0] -= fashion
    rng = np.random.default_rng([seed, 9])
    rows = []
    for _ in range(steps):
        video, position = rng.integers(0, VIDEOS, viewers), rng.integers(1, 6, viewers)
        _, chance, engaged, watch_ms, _ = crowd.act(video, position)
        rows.append((seed * viewers + np.arange(viewers), video, position, chance, engaged, watch_ms))
    viewer, video, position, chance, engaged, watch_ms = (np.concatenate(column) for column in zip(*rows, strict=True))
    return {
        "viewer": viewer,
        "topic": np.array([f"t{topic}" for topic in latents.theta.argmax(1)])[video],
        "length_s": latents.length_s[video],
        "position": position,
        "score": chance,
        "engaged": engaged,
        "watch_ms": watch_ms,
    }
