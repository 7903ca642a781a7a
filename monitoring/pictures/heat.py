"""Frames, plain and under the heat of what speaks for a prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from numpy.typing import NDArray

from interest.explain import HEAT
from monitoring.pictures.canvas import save


@dataclass(frozen=True)
class Shown:
    """A frame uint8 [S, S, 3], plain and under its heat."""

    frame: int
    plain: NDArray[np.uint8]
    heat: NDArray[np.uint8]


def heat_maps(path: Path, title: str, windows: Sequence[Sequence[Shown]]) -> Path:
    """Each window's frames in a row, and those under their heat in the row below; raises InvalidPicture."""
    columns = max(len(window) for window in windows)
    figure = Figure(figsize=(1.25 * max(columns, 4) + 1.6, 2.6 * len(windows) + 0.8), layout="constrained")
    grid = figure.subplots(2 * len(windows), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, window in enumerate(windows):
        for place, shown in enumerate(window):
            plain, heat = grid[2 * number, place], grid[2 * number + 1, place]
            plain.imshow(shown.plain)
            plain.set_title(f"frame {shown.frame}", fontsize="small")
            heat.imshow(shown.heat)
        for axes, name in ((grid[2 * number, 0], f"window {number}"), (grid[2 * number + 1, 0], "heat")):
            axes.text(-0.1, 0.5, name, transform=axes.transAxes, ha="right", va="center", fontsize="small")
    bar = figure.colorbar(ScalarMappable(cmap=HEAT), ax=grid, shrink=0.6, pad=0.02)
    bar.set_label("heat, as a share of the hottest place")
    bar.set_ticks([0, 0.5, 1], labels=["0", "half", "most"])
    figure.suptitle(title)
    return save(figure, path)
