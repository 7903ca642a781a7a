"""A map of embeddings in two dimensions, coloured by what is known of each point."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from monitoring.colours import CATEGORIES, GREY
from monitoring.pictures.canvas import MARKERS, SCALE, save

UNKNOWN = "unknown"
OTHERS = "others"
KINDS = CATEGORIES[: CATEGORIES.index(GREY)]
"""Grey is for all others."""


def embedding_map(
    path: Path, title: str, points: NDArray[np.float32], *, kinds: Sequence[str] = (),
    share: NDArray[np.float64] | None = None, meaning: str = "",
) -> Path:  # fmt: skip
    """Points [N, 2] by `kinds` [N], or by `share` [N] (0 to 1, NaN: unknown), which `meaning` names.

    Raises InvalidPicture.
    """
    figure = Figure(figsize=(8, 6.5), layout="constrained")
    axes = figure.subplots()
    size = float(np.clip(6000 / max(len(points), 1), 6, 40))
    if share is None:
        _by_kind(axes, points, kinds, size, meaning)
    else:
        known = np.isfinite(share)
        if not known.all():
            axes.scatter(
                points[~known, 0], points[~known, 1], s=size, color=GREY, marker="x", linewidths=0.8, label=UNKNOWN
            )
            axes.legend(loc="upper left")
        shown = axes.scatter(points[known, 0], points[known, 1], s=size, c=100 * share[known], cmap=SCALE, linewidths=0)
        figure.colorbar(shown, label=f"{meaning} (%)")
    # Distances on the map have no unit, and between far groups no meaning.
    axes.set(title=title, xticks=[], yticks=[], xlabel="neighbours are alike; distances between groups mean nothing")
    axes.set_aspect("equal", adjustable="datalim")
    return save(figure, path)


def _by_kind(axes: Axes, points: NDArray[np.float32], kinds: Sequence[str], size: float, meaning: str) -> None:
    """The most frequent kinds in colours and markers of their own, all others together."""
    counts = Counter(kind for kind in kinds if kind != UNKNOWN)
    most = len(KINDS) if len(counts) <= len(KINDS) else len(KINDS) - 1
    named = sorted(kind for kind, _ in counts.most_common(most))
    of = np.array([kind if kind in named or kind == UNKNOWN else OTHERS for kind in kinds])
    for kind in (UNKNOWN, OTHERS):
        if (rows := of == kind).any():
            axes.scatter(points[rows, 0], points[rows, 1], s=size, color=GREY, marker="x", linewidths=0.8, label=kind)
    for kind, colour, marker in zip(named, KINDS, MARKERS, strict=False):
        rows = of == kind
        axes.scatter(points[rows, 0], points[rows, 1], s=size, color=colour, marker=marker, edgecolors="black",
                     linewidths=0.3, label=kind)  # fmt: skip
    axes.legend(title=meaning, loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=1.5)
