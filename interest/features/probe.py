"""Is a file a video, and how long: asked of the decoder, never of the file's name."""

from __future__ import annotations

from pathlib import Path

import av

from interest.errors import InvalidVideo

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,wav,mp3,aac,flac,gif"
"""Containers that hold their own bytes; playlists could name other files and addresses."""


def duration_s(path: Path) -> float:
    """Seconds of a file from which at least one frame of picture or sound decodes.

    Raises `InvalidVideo` for anything else: empty, text, a playlist, a picture, truncated beyond use.
    """
    if path.stat().st_size == 0:
        raise InvalidVideo("the file is empty; fetch or export it again")
    try:
        with av.open(str(path), options={"format_whitelist": FORMATS}) as container:
            streams = [s for s in container.streams if s.type in ("video", "audio")]
            if not streams:
                raise InvalidVideo("neither picture nor sound in the file; give a video file")
            first = next((frame for s in streams for frame in _frames(container, s)), None)
            if first is None:
                raise InvalidVideo("no frame decodes; the file is cut off or damaged")
            seconds = [float(s.duration * s.time_base) for s in streams if s.duration and s.time_base]
            whole = container.duration / av.time_base if container.duration else max(seconds, default=0.0)
    except (av.FFmpegError, ValueError) as error:
        raise InvalidVideo(f"not readable as video ({_reason(error)}); give a whole video file") from None
    if not whole > 0:
        raise InvalidVideo("the file has no duration; give a video, not a picture")
    return float(whole)


def _frames(container: av.container.InputContainer, stream: av.stream.Stream) -> list[object]:
    """The first frame of one stream, or none when it is damaged."""
    try:
        container.seek(0)
        return [next(container.decode(stream))]
    except (StopIteration, av.FFmpegError):
        return []


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).split("; last error")[0][:120]
