"""An experiment over time: the lift with its interval, the arms' viewers, and what was decided when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from monitoring.colours import BLUE, GREY, VERMILION
from monitoring.pictures.canvas import save

UNITS = ((48.0, 24.0, "days"), (2.0, 1.0, "hours"), (2 / 60, 1 / 60, "minutes"), (0.0, 1 / 3600, "seconds"))
"""From so many hours on: hours in a unit, and its name."""
BESIDE: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
"""Where a legend hides nothing."""


@dataclass(frozen=True)
class Moment:
    """An experiment at one look: hours since it began, viewers, and where the lift lies (shares; None: unknown)."""

    hours: float
    viewers: tuple[int, int]
    lift: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True)
class Decision:
    """What was decided so many hours after it began, in a word or two."""

    hours: float
    what: str


def experiment_curve(
    path: Path, title: str, moments: Sequence[Moment], margin: float = 0.0, decisions: Sequence[Decision] = ()
) -> Path:
    """The lift with its interval over time, and the viewers of the arms below; raises InvalidPicture."""
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    lift, viewers = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    last = max([*(one.hours for one in moments), *(one.hours for one in decisions)], default=0.0)
    unit_h, unit = next((size, name) for least, size, name in UNITS if last >= least)
    _lift(lift, [one for one in moments if one.lift is not None], unit_h)
    lift.axhline(0, color=GREY, linewidth=1)
    if margin:
        lift.axhline(-100 * margin, color=VERMILION, linewidth=1, linestyle="--", label="margin")
    for number, one in enumerate(decisions):
        lift.axvline(one.hours / unit_h, color=GREY, linewidth=1, linestyle=":")
        # Their words stand on lines of their own, as decisions may follow each other at once.
        height = 0.02 + 0.06 * (number % 4)
        late = bool(last) and one.hours > 0.7 * last
        lift.annotate(
            one.what, (one.hours / unit_h, height), xycoords=("data", "axes fraction"), fontsize="small",
            xytext=(-4 if late else 4, 0), textcoords="offset points", ha="right" if late else "left",
        )  # fmt: skip
    lift.set(title=title, ylabel="candidate over stable (%)")
    if lift.get_legend_handles_labels()[0]:
        lift.legend(**BESIDE)
    marker = "o" if len(moments) == 1 else ""
    for arm, (colour, style) in enumerate(((GREY, "--"), (BLUE, "-"))):
        viewers.plot([one.hours / unit_h for one in moments], [one.viewers[arm] for one in moments], color=colour,
                     linestyle=style, marker=marker, label=("stable", "candidate")[arm])  # fmt: skip
    viewers.set(xlabel=f"{unit} since it began", ylabel="viewers")
    viewers.set_ylim(bottom=0)
    viewers.legend(**BESIDE)
    return save(figure, path)


def _lift(axes: Axes, known: Sequence[Moment], unit_h: float) -> None:
    """The interval as a band; one look alone as a bar."""
    if not known:
        axes.text(0.5, 0.5, "too few viewers yet for a lift", transform=axes.transAxes, ha="center", color=GREY)
        axes.set_yticks([])
        return
    times = [one.hours / unit_h for one in known]
    middle, low, high = (
        100 * np.array([getattr(one, name) for one in known], float) for name in ("lift", "lower", "upper")
    )
    if len(known) == 1:
        axes.errorbar(times, middle, [middle - low, high - middle], color=BLUE, fmt="o", capsize=4, label="lift")
    else:
        axes.fill_between(times, low, high, color=BLUE, alpha=0.2, label="holds at all looks")
        axes.plot(times, middle, color=BLUE, label="lift")
    reach = 3 * max(abs(middle[-1]), abs(high[-1]), abs(low[-1]), 1.0)
    axes.set_ylim(-reach, reach)
