"""What charts share, and Streamlit's own colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, TypeVar, cast

import altair as alt

from monitoring.colours import BLUE, CATEGORIES

INK = "#31363c"
OTHER = "others"
"""What the last colour stands for where there are more levels than colours."""
Shown = TypeVar("Shown", alt.Chart, alt.LayerChart, alt.LayerChart | alt.FacetChart)
OPTIONS = {
    "theme.base": "light",
    "theme.primaryColor": BLUE,
    "theme.textColor": "#0b0f13",
    "theme.linkColor": "#00558a",
    "theme.linkUnderline": True,
}
"""Streamlit's own colours, as its command takes them."""


def levels(names: Iterable[str]) -> list[str]:
    """The most frequent names first, as many as there are colours; all others become `OTHER`."""
    ordered = [name for name, _ in sorted(Counter(names).items(), key=lambda item: (-item[1], item[0]))]
    return ordered if len(ordered) <= len(CATEGORIES) else [*ordered[: len(CATEGORIES) - 1], OTHER]


def scale(domain: list[str]) -> alt.Scale:
    """A colour for each of `levels`."""
    return alt.Scale(domain=domain, range=list(CATEGORIES[: len(domain)]))


def time_axis(span_s: float) -> alt.Axis:
    """An axis of time that is as fine as so many seconds need."""
    form = "%H:%M:%S" if span_s < 900 else "%H:%M" if span_s < 172_800 else "%d %b"
    return alt.Axis(format=form, labelOverlap=True, tickCount=6)


def legible(chart: Shown) -> Shown:
    """The chart with texts in ink that has enough contrast."""
    texts: dict[str, Any] = {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12}
    return cast(Shown, chart.configure_axis(**texts).configure_legend(**texts))
