"""How often viewers engaged beside how often it was predicted, with intervals, and how many predictions lie where."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from interest.calibration import Curve
from monitoring.pictures.canvas import BLUE, GREY, save


def calibration_curve(path: Path, title: str, curve: Curve) -> Path:
    """The reliability diagram; raises InvalidPicture."""
    figure = Figure(figsize=(6, 6.5), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(5, 1))
    low, high = 100 * curve.low, 100 * curve.high
    predicted, actual = 100 * curve.predicted, 100 * curve.actual
    end = min(100.0, 1.1 * max(predicted.max(), high.max(), 1.0))
    axes.plot((0, end), (0, end), color=GREY, linestyle="--", linewidth=1, label="calibrated")
    axes.errorbar(
        predicted, actual, (actual - low, high - actual), fmt="o-", color=BLUE, capsize=3, markersize=5,
        label="model, with 95% intervals over viewers",
    )  # fmt: skip
    axes.set(title=title, ylabel="engaged (%)", xlim=(0, end), ylim=(0, end))
    axes.legend(loc="upper left")
    below.hist(100 * curve.edges[:-1], bins=(100 * curve.edges).tolist(), weights=curve.histogram, color=BLUE)
    below.set(xlabel="predicted (%)", ylabel="impressions")
    return save(figure, path)
