"""Latent signals to a real video file: H.264 pictures and AAC sound in an mp4, the same bytes every time."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from interest.simulator.pictures import draw
from interest.simulator.sounds import play


@dataclass(frozen=True)
class RenderSettings:
    """How files are encoded; the defaults weigh about 5 kB a second."""

    size_px: int = 96
    fps: int = 12
    sample_rate_hz: int = 16_000
    crf: int = 33
    keyframe_every_s: float = 1.0
    sound_bits_per_s: int = 16_000


def render(
    path: Path,
    *,
    picture: NDArray[np.float64],
    sound: NDArray[np.float64],
    duration_s: float,
    seed: int,
    settings: RenderSettings | None = None,
) -> None:
    """Write one mp4 that carries `picture` [6] as a camera sees it and `sound` [6] as a microphone hears it.

    Each coordinate is about N(0, 1) and sets one attribute (`pictures.Look`, `sounds.Timbre`). `seed` draws
    all that carries nothing. The same arguments give the same bytes: one thread, no timestamps.
    """
    settings = settings or RenderSettings()
    picture_rng, sound_rng = (np.random.default_rng([seed, part]) for part in range(2))
    pictures = draw(
        picture,
        frames=max(1, round(duration_s * settings.fps)),
        fps=settings.fps,
        size_px=settings.size_px,
        rng=picture_rng,
    )
    samples = play(
        sound,
        samples=max(1, round(duration_s * settings.sample_rate_hz)),
        sample_rate_hz=settings.sample_rate_hz,
        rng=sound_rng,
    )
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        video, audio = _streams(container, settings)
        # A second of each in turn, so that a reader finds sound beside its pictures.
        for second in range(1 + int(duration_s)):
            for i, planes in enumerate(islice(pictures, settings.fps)):
                frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
                frame.pts, frame.time_base = second * settings.fps + i, Fraction(1, settings.fps)
                container.mux(video.encode(frame))
            start = second * settings.sample_rate_hz
            heard = samples[start : start + settings.sample_rate_hz]
            if len(heard):
                block = av.AudioFrame.from_ndarray(heard[None], format="fltp", layout="mono")
                block.pts, block.time_base = start, Fraction(1, settings.sample_rate_hz)
                block.sample_rate = settings.sample_rate_hz
                container.mux(audio.encode(block))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def _streams(container: Any, settings: RenderSettings) -> tuple[Any, Any]:
    video = container.add_stream("libx264", rate=settings.fps)
    video.width = video.height = settings.size_px
    video.pix_fmt = "yuv420p"
    video.gop_size = round(settings.keyframe_every_s * settings.fps)
    video.options = {
        "preset": "superfast",
        "tune": "zerolatency",
        "crf": str(settings.crf),
        "threads": "1",
        "x264-params": "weightp=1:scenecut=0",
    }
    audio = container.add_stream("aac", rate=settings.sample_rate_hz, layout="mono")
    audio.bit_rate = settings.sound_bits_per_s
    audio.options = {"aac_coder": "fast", "threads": "1"}
    for stream in (video, audio):
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
    return video, audio
