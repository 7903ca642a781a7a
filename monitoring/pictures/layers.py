"""What each layer of an encoder makes of a video: a row a layer, its mean and its liveliest channels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from monitoring.pictures.canvas import SCALE, save

CHANNELS = 7
"""Shown of each layer, beside their mean."""


def layer_maps(
    path: Path, title: str, frames: NDArray[np.uint8], layers: Mapping[str, NDArray[np.float32]], window: int
) -> Path:
    """`frames` [W, T, S, S, 3] and `layers`' maps [W, K, t, h, w] amid one window; raises InvalidPicture."""
    rows, columns = 1 + len(layers), 1 + CHANNELS
    figure = Figure(figsize=(1.15 * columns + 1.6, 1.3 * rows + 0.8), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.set_axis_off()
    shown = np.linspace(0, frames.shape[1] - 1, min(columns, frames.shape[1])).round().astype(int)
    for axes, number in zip(grid[0], shown, strict=False):
        axes.imshow(frames[window, number])
        axes.set_title(f"frame {number}", fontsize="small")
    _name(grid[0, 0], f"frames\n{frames.shape[2]} × {frames.shape[3]}")
    for line, (name, maps) in zip(grid[1:], layers.items(), strict=True):
        _, channels, steps, height, width = maps.shape
        middle = maps[window, :, steps // 2]
        liveliest = np.argsort(-middle.std(axis=(1, 2)), kind="stable")[:CHANNELS]
        line[0].imshow(middle.mean(0), cmap=SCALE)
        line[0].set_title("mean", fontsize="small")
        for axes, channel in zip(line[1:], liveliest, strict=False):
            axes.imshow(middle[channel], cmap=SCALE)
            axes.set_title(f"channel {channel}", fontsize="small")
        _name(line[0], f"{name}\n{channels} channels\n{steps} × {height} × {width}")
    figure.suptitle(f"{title}\nbright: strong; each map on its own scale, at the middle of window {window}")
    return save(figure, path)


def _name(axes: object, text: str) -> None:
    """A row's name, to the left of its first picture."""
    axes.text(-0.15, 0.5, text, transform=axes.transAxes, ha="right", va="center", fontsize="small")  # type: ignore[attr-defined]
