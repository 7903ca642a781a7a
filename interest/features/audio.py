"""A video's sound: mel-frequency cepstral coefficients of windows at the same moments as its frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from interest.errors import InvalidSetting
from interest.features.media import audio_stream, only, open_media, origin_s, tick_s
from interest.features.windows import placed

if TYPE_CHECKING:
    from torch import nn

RUN_UP_S = 0.2
"""Decoded before a window and thrown away: codecs with overlapping blocks need it after a seek."""
SILENCE = 1e-3
"""Sound that nowhere exceeds -60 dB of full scale is none."""
LEVEL = 0.1
"""Root mean square that a video's windows are brought to."""
Sound = NDArray[np.float32]


@dataclass(frozen=True)
class AudioSettings:
    """`windows` of `window_s` seconds mono at `rate_hz`; spectra of 25 ms every 10 ms make 98 a second."""

    windows: int = 3
    window_s: float = 1.0
    rate_hz: int = 16_000
    coefficients: int = 20
    mels: int = 40
    frame_ms: int = 25
    hop_ms: int = 10

    def __post_init__(self) -> None:
        if self.windows <= 0 or self.window_s * 1000 < self.frame_ms:
            raise InvalidSetting(
                f"{self.windows} windows of {self.window_s} s: one or more of at least {self.frame_ms} ms"
            )
        if not 0 < self.coefficients <= self.mels:
            raise InvalidSetting(f"coefficients={self.coefficients}: from 1 to mels={self.mels}")

    @property
    def samples(self) -> int:
        """Samples of a window."""
        return round(self.window_s * self.rate_hz)

    @property
    def spectra(self) -> int:
        """F: spectra that lie wholly within a window."""
        return 1 + (self.samples - self.rate_hz * self.frame_ms // 1000) // (self.rate_hz * self.hop_ms // 1000)


def read_mfcc(path: Path, settings: AudioSettings) -> NDArray[np.float32] | None:
    """Coefficients float32 [W, C, F]; None for a silent or absent track. Raises `InvalidVideo`."""
    sound = read_sound(path, settings)
    return None if sound is None else mfcc(sound, settings)


def read_sound(path: Path, settings: AudioSettings) -> Sound | None:
    """Samples float32 [W, N] at one level; None when there is no track, or its windows are silent.

    All windows of a video get the same gain, so how loud a recording was made does not matter and what is
    loud and quiet within it does. Beyond the track's end there are zeros. Raises `InvalidVideo`.
    """
    with open_media(path) as container:
        stream = audio_stream(container)
        if stream is None:
            return None
        starts = placed(container, settings.windows, settings.window_s)
        only(container, stream)
        origin = origin_s(container)
        windows = [_read_window(container, stream, origin + start, settings) for start in starts]
    return _level(np.stack(windows))


def mfcc(sound: Sound, settings: AudioSettings) -> NDArray[np.float32]:
    """Coefficients float32 [..., C, F] of samples [..., N]: log mel energies (HTK scale, natural logarithm),
    orthonormal cosine transform (Davis and Mermelstein, 1980)."""
    import torch

    with torch.inference_mode():
        result: NDArray[np.float32] = _transform(settings)(torch.from_numpy(sound)).numpy()
    return result


def _level(sound: Sound) -> Sound | None:
    """Without offset and at the common level; None for silence."""
    # float32 files may hold anything; beyond 100 times full scale it is no sound
    clean = np.nan_to_num(sound, nan=0.0, posinf=0.0, neginf=0.0).clip(-100.0, 100.0)
    clean -= clean.mean(axis=1, keepdims=True)
    if float(np.abs(clean).max()) < SILENCE:
        return None
    return clean * np.float32(LEVEL / np.sqrt(np.mean(np.square(clean, dtype=np.float64))))


def _read_window(container: InputContainer, stream: AudioStream, start_s: float, settings: AudioSettings) -> Sound:
    """Samples [N] from `start_s` on; each is placed by the time stamp of the first frame decoded."""
    window = np.zeros(settings.samples, np.float32)
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=settings.rate_hz)
    pieces: list[Sound] = []
    first_s = None
    for frame in _frames(container, stream, start_s - RUN_UP_S):
        time_s = start_s if frame.time is None else frame.time
        if time_s >= start_s + settings.window_s:
            break
        first_s = time_s if first_s is None else first_s
        pieces.extend(part.to_ndarray()[0] for part in resampler.resample(frame))
    if first_s is None:
        return window
    pieces.extend(part.to_ndarray()[0] for part in resampler.resample(None))
    sound = np.concatenate(pieces)
    begin = round((first_s - start_s) * settings.rate_hz)
    sound = sound[max(0, -begin) :][: settings.samples - max(0, begin)]
    window[max(0, begin) : max(0, begin) + len(sound)] = sound
    return window


def _frames(container: InputContainer, stream: AudioStream, from_s: float) -> Iterator[av.AudioFrame]:
    """Decoded frames from `from_s` to the end or where the file is cut, without damaged packets."""
    try:
        container.seek(max(stream.start_time or 0, round(from_s / tick_s(stream))), stream=stream)
    except av.error.FFmpegError:
        container.seek(0)
    stream.codec_context.flush_buffers()
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            frames = stream.decode(packet)
        except av.error.InvalidDataError:
            continue
        except av.error.FFmpegError:
            return
        yield from frames


@cache
def _transform(settings: AudioSettings) -> nn.Module:
    # imported here: the processes that only decode need none of it
    from torchaudio.transforms import MFCC

    frame = settings.rate_hz * settings.frame_ms // 1000
    spectrum = {
        "n_fft": frame,
        "win_length": frame,
        "hop_length": settings.rate_hz * settings.hop_ms // 1000,
        "n_mels": settings.mels,
        "center": False,
    }
    # plain logarithm: the decibel variant clips against the loudest sound of the whole batch
    transform: nn.Module = MFCC(settings.rate_hz, settings.coefficients, log_mels=True, melkwargs=spectrum)
    return transform
