"""Figures as PNG or SVG, whichever the file's name ends with: titles, units, colours that everybody can tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#6e7781"
"""From the palette of Okabe and Ito."""
mpl.rcParams["svg.hashsalt"] = "rapt"


@dataclass(frozen=True)
class Moment:
    """An experiment at one look: hours since it began, viewers, and where the lift lies (shares; None: unknown)."""

    hours: float
    viewers: tuple[int, int]
    lift: float | None
    lower: float | None
    upper: float | None


def experiment_curve(path: Path, title: str, moments: Sequence[Moment], margin: float = 0.0) -> Path:
    """The lift with its interval over time, and the viewers of the arms below."""
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    lift, viewers = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    known = [one for one in moments if one.lift is not None]
    hours = [one.hours for one in known]
    if known:
        middle, low, high = (
            100 * np.array([getattr(one, name) for one in known], float) for name in ("lift", "lower", "upper")
        )
        lift.fill_between(hours, low, high, color=BLUE, alpha=0.2, label="holds at all looks")
        lift.plot(hours, middle, color=BLUE, label="lift")
        reach = 3 * max(abs(middle[-1]), abs(high[-1]), abs(low[-1]), 1.0)
        lift.set_ylim(-reach, reach)
    lift.axhline(0, color=GREY, linewidth=1)
    if margin:
        lift.axhline(-100 * margin, color=ORANGE, linewidth=1, linestyle="--", label="margin")
    lift.set(title=title, ylabel="candidate over stable (%)")
    lift.legend(loc="upper right")
    for arm, colour in enumerate((GREY, BLUE)):
        viewers.plot([one.hours for one in moments], [one.viewers[arm] for one in moments], color=colour,
                     label=("stable", "candidate")[arm])  # fmt: skip
    viewers.set(xlabel="hours since it began", ylabel="viewers")
    viewers.legend(loc="upper left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    return path
