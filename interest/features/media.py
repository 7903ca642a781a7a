"""Open a media file safely with PyAV, and find its picture, its sound and its playable length."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Discard, Disposition, Stream
from av.video.stream import VideoStream

from interest.errors import InvalidVideo

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,mpegts,mpeg,ogg,mp3,aac,wav,flac"
"""Containers that are opened; none of them can refer to another file or address, as a playlist can."""

MAX_PIXELS = 8192 * 5120
"""Pictures larger than this are refused before their decoder allocates memory."""

US_PER_S = 1_000_000


@contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """An open container with a video or an audio stream; raises `InvalidVideo` with a one-line reason."""
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        raise InvalidVideo(f"{path.name}: cannot be opened ({error.strerror}); check the path") from error
    if size_bytes == 0:
        raise InvalidVideo(f"{path.name}: empty file (0 bytes); download it again")
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    try:
        container = av.open(str(path.resolve()), container_options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        raise InvalidVideo(
            f"{path.name}: not a readable media file ({_short(error)}); "
            "mp4, mov, mkv, webm, avi or a sound file is expected"
        ) from error
    with container:
        if video_stream(container) is None and audio_stream(container) is None:
            raise InvalidVideo(f"{path.name}: holds neither video nor sound that can be decoded")
        yield container


def video_stream(container: InputContainer) -> VideoStream | None:
    """The first video stream that has a decoder and is no attached cover picture."""
    pictures = (s for s in container.streams.video if not s.disposition & Disposition.attached_pic)
    return next((s for s in pictures if s.codec_context is not None), None)


def audio_stream(container: InputContainer) -> AudioStream | None:
    """The first audio stream that has a decoder."""
    return next((s for s in container.streams.audio if s.codec_context is not None), None)


def only(container: InputContainer, stream: Stream) -> None:
    """Have the demuxer pass over the packets of every other stream."""
    for other in container.streams:
        other.discard = Discard.default if other.index == stream.index else Discard.all


def tick_s(stream: Stream) -> float:
    """Seconds between two values of a stream's clock."""
    return float(stream.time_base or Fraction(1, US_PER_S))


def origin_s(container: InputContainer) -> float:
    """The time stamp, in seconds, at which the clip starts."""
    return (container.start_time or 0) / US_PER_S


def playable_s(container: InputContainer) -> float:
    """Seconds that can be played: what the container says, less what is missing from the file's end."""
    streams: list[Stream] = [s for s in (video_stream(container), audio_stream(container)) if s is not None]
    if container.duration is None:
        return _scanned_s(container, streams)
    present = [container.duration / US_PER_S]
    for stream in streams:
        index = stream.index_entries
        if len(index) and index[-1].pos + index[-1].size > container.size:
            first_missing = bisect_left(index, container.size + 1, key=lambda entry: entry.pos + entry.size)
            present.append(index[first_missing].timestamp * tick_s(stream) - origin_s(container))
    return max(0.0, min(present))


def key_frames_s(container: InputContainer) -> list[float]:
    """Seconds from the clip's beginning at which its pictures have key frames; empty without an index."""
    stream = video_stream(container)
    if stream is None or not len(stream.index_entries):
        return []
    # the index counts in decoding time, which runs ahead of what is shown by as much as at the first frame
    ahead = (stream.start_time or 0) - stream.index_entries[0].timestamp
    stamps = (entry.timestamp + ahead for entry in stream.index_entries if entry.is_keyframe)
    return [stamp * tick_s(stream) - origin_s(container) for stamp in stamps]


def _scanned_s(container: InputContainer, streams: list[Stream]) -> float:
    """The end of the last packet, for a container that does not state its length."""
    end_s = 0.0
    try:
        for packet in container.demux(streams):
            if packet.pts is not None:
                end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    except av.error.FFmpegError:
        pass  # what came before the damage is what can be played
    container.seek(0)
    return max(0.0, end_s - origin_s(container))


def _short(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
