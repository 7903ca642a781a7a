"""A video's pictures: a few short windows of consecutive frames, small, evenly spaced in time.

Only what is looked at is decoded: from the last key frame before a window to its end, without pictures that
nothing else refers to, and colours are converted after the reduction.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from interest.errors import InvalidSetting, InvalidVideo
from interest.features.media import MAX_PIXELS, key_frames_s, only, open_media, origin_s, tick_s, video_stream
from interest.features.pictures import Pixels, shrink
from interest.features.windows import placed

EPSILON_S = 1e-4
"""Time stamps are rounded to the container's clock: that far a frame counts as being in time."""


class Run(NamedTuple):
    """What is decoded in one go: from a key frame at or before `from_s`, for ascending `times` (seconds)."""

    from_s: float
    times: list[float]


@dataclass(frozen=True)
class FrameSettings:
    """`windows` times `frames` pictures of `size` pixels a side, `fps` of them a second within a window.

    The step is one of time, not of frames, so motion compares between a 12 and a 60 frames a second video.
    A container without an index of key frames is decoded from `whole_s` seconds before a window: groups of
    pictures are rarely longer.
    """

    windows: int = 3
    frames: int = 8
    size: int = 64
    fps: float = 8.0
    whole_s: float = 10.0

    def __post_init__(self) -> None:
        for name in ("windows", "frames", "size", "fps"):
            if getattr(self, name) <= 0:
                raise InvalidSetting(f"{name}={getattr(self, name)} of the frame settings: must be positive")

    @property
    def window_s(self) -> float:
        """Seconds from a window's start to its end."""
        return self.frames / self.fps


def read_frames(path: Path, settings: FrameSettings) -> Pixels | None:
    """RGB pictures uint8 [W, T, S, S, 3], letterboxed in black; None when only sound is there.

    Frame t of a window is what a player shows at start + t / fps; past the end the last picture stays. Sides
    are those a player shows: rotation (to the nearest quarter turn) and pixel aspect are honoured. Raises
    `InvalidVideo` when not one picture decodes.
    """
    with open_media(path) as container:
        stream = video_stream(container)
        if stream is None:
            return None
        codec = stream.codec_context
        if codec.width * codec.height > MAX_PIXELS:
            raise InvalidVideo(f"{path.name}: {codec.width}x{codec.height} pixels; at most {MAX_PIXELS} are read")
        # A pool of processes keeps the cores busy; threads inside of each would only compete.
        codec.thread_type, codec.thread_count = "NONE", 1
        only(container, stream)
        starts = origin_s(container) + placed(container, settings.windows, settings.window_s)
        times = starts[:, None] + np.arange(settings.frames) / settings.fps
        pictures: dict[float, Pixels] = {}
        for run in _runs(container, times, settings):
            pictures.update(_read_run(container, stream, run, settings.size))
    if not pictures:
        raise InvalidVideo(f"{path.name}: not one picture can be decoded; the file is damaged")
    known = sorted(pictures)
    rows = [pictures[known[max(0, bisect_right(known, t) - 1)]] for t in times.ravel()]
    return np.stack(rows).reshape(*times.shape, settings.size, settings.size, 3)


def _runs(container: InputContainer, times: NDArray[np.float64], settings: FrameSettings) -> list[Run]:
    """Times grouped by what is decoded in one go: a window seeks only where that saves decoding."""
    key_frames = [origin_s(container) + second for second in key_frames_s(container)]
    runs: list[Run] = []
    for window in times.tolist():
        before = bisect_right(key_frames, window[0] + EPSILON_S)
        from_s = key_frames[max(0, before - 1)] if key_frames else window[0] - settings.whole_s
        if runs and from_s <= runs[-1].times[-1]:
            runs[-1] = Run(runs[-1].from_s, sorted({*runs[-1].times, *window}))
        else:
            runs.append(Run(from_s, window))
    return runs


def _read_run(container: InputContainer, stream: VideoStream, run: Run, size: int) -> dict[float, Pixels]:
    """Time to what is shown then, empty when nothing decodes."""
    shown: dict[float, Pixels] = {}
    last: tuple[VideoFrame, Pixels] | None = None

    def picture(frame: VideoFrame) -> Pixels:
        nonlocal last
        if last is None or last[0] is not frame:
            last = frame, shrink(frame, size, stream.sample_aspect_ratio)
        return last[1]

    waiting = iter(run.times)
    due = next(waiting, None)
    before: VideoFrame | None = None
    for time_s, frame in _decode(container, stream, run):
        while due is not None and due + EPSILON_S < time_s:
            shown[due] = picture(before or frame)
            due = next(waiting, None)
        if due is None:
            break
        before = frame
    if before is not None:
        for time_s in [*([] if due is None else [due]), *waiting]:
            shown[time_s] = picture(before)
    return shown


def _decode(container: InputContainer, stream: VideoStream, run: Run) -> Iterator[tuple[float, VideoFrame]]:
    """(seconds, frame) in the order shown, from a key frame at or before the first time.

    Frames that no time needs and no other frame refers to are left out; damaged packets are passed over.
    """
    needed = _needed(container, stream, run)
    _seek(container, stream, run.from_s)
    codec = stream.codec_context
    step_s = float(1 / (stream.average_rate or 25))
    clock_s = run.from_s - step_s
    for packet in _packets(container, stream):
        unwanted = needed is not None and packet.pts is not None and packet.pts not in needed
        codec.skip_frame = "NONREF" if unwanted else "DEFAULT"
        try:
            frames = stream.decode(packet)
        except av.error.FFmpegError:
            continue
        for frame in frames:
            clock_s = clock_s + step_s if frame.time is None else frame.time
            yield clock_s, frame


def _needed(container: InputContainer, stream: VideoStream, run: Run) -> set[int] | None:
    """Time stamps of the frames shown in a run; None when packets carry none."""
    _seek(container, stream, run.from_s)
    stamps: list[int] = []
    ticks_per_s = 1 / tick_s(stream)
    for packet in _packets(container, stream):
        if packet.size == 0:
            break
        if packet.pts is None:
            return None
        stamps.append(packet.pts)
        if packet.dts is not None and packet.dts > (run.times[-1] + EPSILON_S) * ticks_per_s:
            break
    stamps.sort()
    return {stamps[max(0, bisect_right(stamps, (t + EPSILON_S) * ticks_per_s) - 1)] for t in run.times if stamps}


def _seek(container: InputContainer, stream: VideoStream, time_s: float) -> None:
    start = stream.start_time or 0
    try:
        container.seek(max(start, round(time_s / tick_s(stream))), stream=stream)
    except av.error.FFmpegError:
        container.seek(0)  # a file without an index: decode from its start
    stream.codec_context.flush_buffers()


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet[VideoStream]]:
    """Packets up to the end or to where the file is cut."""
    try:
        yield from container.demux(stream)
    except av.error.FFmpegError:
        return


# OpenCV's own threads are of no use on pictures this small and compete with the other processes.
cv2.setNumThreads(1)
