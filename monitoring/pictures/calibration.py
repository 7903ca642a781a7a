"""How often viewers engaged beside how often it was predicted, with intervals, and how many predictions lie where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from interest.quality import Bin
from monitoring.colours import BLUE, GREY
from monitoring.pictures.canvas import save

COLUMNS = 50


def calibration_curve(path: Path, title: str, curve: Sequence[Bin], chance: NDArray[np.float64]) -> Path:
    """The reliability diagram, over a histogram of what was predicted, [N]; raises InvalidPicture."""
    figure = Figure(figsize=(6, 6.5), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(5, 1))
    predicted = 100 * np.array([one.predicted for one in curve])
    low, actual, high = (
        100 * np.array([getattr(one.actual, name) for one in curve]) for name in ("lower", "value", "upper")
    )
    end = min(100.0, 1.1 * max(predicted.max(), high.max(), 1.0))
    axes.plot((0, end), (0, end), color=GREY, linestyle="--", linewidth=1, label="calibrated")
    axes.errorbar(
        predicted, actual, (actual - low, high - actual), fmt="o-", color=BLUE, capsize=3, markersize=5,
        label="model, with 95% intervals over viewers",
    )  # fmt: skip
    axes.set(title=title, ylabel="engaged (%)", xlim=(0, end), ylim=(0, end))
    axes.legend(loc="upper left")
    below.hist(100 * chance, bins=COLUMNS, color=BLUE)
    below.set(xlabel="predicted (%)", ylabel="impressions")
    return save(figure, path)
