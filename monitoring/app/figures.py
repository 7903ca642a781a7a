"""Pictures as PNG: frames side by side, spectrogram and MFCC with their axes, feature maps as tiles."""

from __future__ import annotations

import io

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray

from interest.features.audio import AudioSettings, Sound
from interest.features.pictures import Pixels
from monitoring.app.sound import mfcc, spectrogram

MAP = colormaps["viridis"]
DECIBELS = 60.0
"""How far below the loudest the spectrogram reaches."""


def icon(side: int = 32) -> Pixels:
    """The dashboard's own icon: a triangle that means play. Streamlit's would be fetched from the web."""
    picture = np.full((side, side, 3), (0, 0x72, 0xB2), np.uint8)
    rows, columns = np.mgrid[:side, :side] / side
    picture[(columns > 0.3) & (columns - 0.3 < 1.1 * (0.5 - np.abs(rows - 0.5)) - 0.1)] = 255
    return picture


def strip(frames: Pixels, side: int = 96) -> Pixels:
    """Pictures [T, S, S, 3] side by side with a gap: [side, T * (side + 2) - 2, 3]."""
    large = [enlarged(frame, side) for frame in frames]
    gap = np.full((side, 2, 3), 255, np.uint8)
    return np.concatenate([part for one in large for part in (one, gap)][:-1], axis=1)


def tiles(maps: NDArray[np.floating], most: int = 32, side: int = 72, across: int = 8) -> Pixels:
    """Feature maps [K, h, w] as tiles, the strongest first, all on one scale from 0: RGB."""
    order = np.argsort(-maps.mean(axis=(1, 2)), kind="stable")[:most]
    scaled = np.maximum(maps[order], 0) / max(float(maps.max()), 1e-12)
    pictures = [enlarged((255 * MAP(one)[..., :3]).astype(np.uint8), side) for one in scaled]
    while len(pictures) % across:
        pictures.append(np.full((side, side, 3), 255, np.uint8))
    rows = [strip(np.stack(pictures[at : at + across]), side) for at in range(0, len(pictures), across)]
    gap = np.full((2, rows[0].shape[1], 3), 255, np.uint8)
    return np.concatenate([part for row in rows for part in (row, gap)][:-1], axis=0)


def enlarged(picture: Pixels, side: int) -> Pixels:
    """A picture [h, w, 3] as [side, side, 3], each pixel as it is."""
    rows, columns = (np.arange(side) * size // side for size in picture.shape[:2])
    return np.asarray(picture[rows][:, columns])


def sound_figure(sound: Sound, settings: AudioSettings) -> bytes:
    """Spectrogram and MFCC of each window, one above the other."""
    windows = len(sound)
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = np.asarray(figure.subplots(2, windows, sharex=True, sharey="row", squeeze=False))
    seconds, khz = settings.window_s, settings.rate_hz / 2000
    power, coefficients = spectrogram(sound, settings), mfcc(sound, settings)
    loud = float(power.max())
    for window in range(windows):
        shown = axes[0, window].imshow(
            power[window], origin="lower", aspect="auto", extent=(0, seconds, 0, khz), cmap=MAP,
            vmin=loud - DECIBELS, vmax=loud,
        )  # fmt: skip
        heard = axes[1, window].imshow(
            coefficients[window], origin="lower", aspect="auto", cmap=MAP,
            extent=(0, seconds, 0, len(coefficients[window])),
            vmin=float(np.quantile(coefficients, 0.02)), vmax=float(np.quantile(coefficients, 0.98)),
        )  # fmt: skip
        axes[0, window].set_title(f"window {window + 1}")
        axes[1, window].set_xlabel("seconds")
    axes[0, 0].set_ylabel("kHz")
    axes[1, 0].set_ylabel("coefficient")
    figure.colorbar(shown, ax=axes[0].tolist(), label="dB")
    figure.colorbar(heard, ax=axes[1].tolist(), label="MFCC")
    return _png(figure)


def _png(figure: Figure) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, dpi=110, format="png")
    return data.getvalue()
