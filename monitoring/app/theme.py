"""Colours that everybody can tell apart (Okabe and Ito), with enough contrast on white, and what charts share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import altair as alt

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, GREY = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5f6670",
)  # fmt: skip
CATEGORIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, "#000000", GREY)
OTHER = "others"
"""What the last colour stands for where there are more levels than colours."""
OPTIONS = {
    "theme.base": "light",
    "theme.primaryColor": BLUE,
    "theme.textColor": "#1c2126",
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
