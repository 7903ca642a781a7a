"""What servers are asked about: made videos with raw features of the real sizes, viewers with histories, requests.

Always the same, but that histories end now. It needs only what serving needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interest.records import FEEDBACK, Event
from interest.simulator.world import VideoLatents, sample_videos, signals, video_id
from interest.training.features import FeatureArrays
from interest.viewer_rows import ROW, Rows, row

VIDEOS, SEED = 2000, 11
CANDIDATES = 200
FRAMES, MFCC, TEXT = (3, 8, 64, 64, 3), (3, 20, 98), 384
"""Raw features of a video: what the default settings of the preprocess steps make."""
STEP_MS = 45_000
"""Time from one event of a viewer to the next."""


@dataclass(frozen=True)
class Viewer:
    """A viewer and what they did, oldest first."""

    user_id: str
    events: tuple[Event, ...]

    @property
    def rows(self) -> Rows:
        """The events as the state packs them."""
        return np.array([row(event) for event in self.events], ROW)


def videos() -> VideoLatents:
    """The made videos; `video_id` names them."""
    return sample_videos(VIDEOS, SEED)


def raw_features(latents: VideoLatents) -> FeatureArrays:
    """Noise with the videos' signals on top (600 MB for 2,000)."""
    count, seen, rng = len(latents), signals(latents, SEED), np.random.default_rng(SEED)
    frames = np.empty((count, *FRAMES), np.uint8)
    for picture, colour in zip(frames, seen["video"][:, :3], strict=True):
        picture[:] = rng.integers(100, 156, FRAMES, np.uint8) + (15.0 * colour).clip(-99, 99).astype(np.int16)
    mfcc = 0.3 * rng.standard_normal((count, *MFCC), np.float32)
    mfcc[:, :, :6] += seen["audio"][:, None, :, None].astype(np.float32)
    text = np.zeros((count, TEXT), np.float32)
    text[:, :6] = 0.1 * seen["text"]
    return FeatureArrays(frames, mfcc, text, np.ones((count, 3), np.bool_))


def viewers(count: int, now_ms: int, history: int, prefix: str) -> list[Viewer]:
    """Viewers with `history` events each, the last of them `STEP_MS` before `now_ms`."""
    rng = np.random.default_rng([SEED, history])
    made = []
    for number in range(count):
        user_id = f"{prefix}-{number}"
        columns = zip(
            rng.integers(0, VIDEOS, history).tolist(), rng.integers(0, len(FEEDBACK), history).tolist(),
            rng.integers(0, 40_000, history).tolist(), rng.integers(1, 6, history).tolist(), strict=True,
        )  # fmt: skip
        events = tuple(
            Event(event_id=f"{user_id}-{n}", user_id=user_id, video_id=video_id(video), request_id=f"{user_id}-r{n}",
                  ts_ms=now_ms - (history - n) * STEP_MS, kind=FEEDBACK[kind], watch_ms=watch_ms, position=position)
            for n, (video, kind, watch_ms, position) in enumerate(columns)
        )  # fmt: skip
        made.append(Viewer(user_id, events))
    return made


def questions(asking: Sequence[Viewer], count: int, candidates: int = CANDIDATES) -> list[tuple[str, list[str]]]:
    """Viewer and candidates of `count` requests; no viewer comes again before all others had their turn."""
    rng = np.random.default_rng([SEED, candidates])
    return [
        (
            asking[number % len(asking)].user_id,
            [video_id(int(video)) for video in rng.choice(VIDEOS, candidates, replace=False)],
        )
        for number in range(count)
    ]


def write_histories(path: Path, known: Iterable[Viewer]) -> Path:
    """The histories of viewers, all of one length, as the peers read them."""
    known = list(known)
    np.savez(path, users=np.array([one.user_id for one in known]), rows=np.stack([one.rows for one in known]))
    return path
