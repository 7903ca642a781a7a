"""A video's sound as pictures: its spectrogram, and the MFCC that the model hears, without torch.

Both are of what `interest.features.audio.read_sound` gives; `tests/monitoring/app/test_sound.py` holds the coefficients
to those of `interest.features.audio.mfcc`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from interest.features.audio import AudioSettings, Sound

FLOOR = 1e-6
"""Added to energies before the logarithm."""

Floats = NDArray[np.float64]


def spectrogram(sound: Sound, settings: AudioSettings) -> Floats:
    """Decibels [W, F, T] of samples [W, N]: F frequencies from 0 to half the rate, T spectra."""
    return np.asarray(10 * np.log10(_power(sound, settings) + 1e-10))


def mfcc(sound: Sound, settings: AudioSettings) -> Floats:
    """Coefficients [W, C, T] of samples [W, N]: log mel energies, orthonormal cosine transform."""
    energies = np.einsum("wft,fm->wmt", _power(sound, settings), _filters(settings))
    return np.asarray(dct(np.log(energies + FLOOR), type=2, axis=1, norm="ortho")[:, : settings.coefficients])


def _power(sound: Sound, settings: AudioSettings) -> Floats:
    length, hop = (settings.rate_hz * ms // 1000 for ms in (settings.frame_ms, settings.hop_ms))
    pieces = np.lib.stride_tricks.sliding_window_view(sound.astype(np.float64), length, axis=1)[:, ::hop]
    return np.asarray(np.abs(np.fft.rfft(pieces * np.hanning(length + 1)[:-1])) ** 2).transpose(0, 2, 1)


def _filters(settings: AudioSettings) -> Floats:
    """Triangles [F, M] that are even on the mel scale (HTK's)."""
    nyquist = settings.rate_hz / 2
    frequencies = np.linspace(0, nyquist, settings.rate_hz * settings.frame_ms // 1000 // 2 + 1)
    corners = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + nyquist / 700), settings.mels + 2) / 2595) - 1)
    distance = corners[None] - frequencies[:, None]
    widths = np.diff(corners)
    return np.maximum(0.0, np.minimum(-distance[:, :-2] / widths[:-1], distance[:, 2:] / widths[1:]))
