"""Observations as tables to compare: what the model was given, what it said, what came of it; and what it saw."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from interest.bundle import Bundle
from interest.catalog import Catalog
from interest.drift.embeddings import Vectors
from interest.models.names import MODALITIES

GROUPS = "user_id"
INPUTS = ("topic", "duration_s", "caption_words", "candidates", "unknown", "position")
PREDICTIONS = ("score",)
OUTCOMES = ("engaged", "watch_ms", "liked", "shared", "skipped")
COLUMNS = INPUTS + PREDICTIONS + OUTCOMES
SLICES, SLICED = ("topic",), ("engaged", "score")
VECTORS = 5000
"""Impressions whose videos' embeddings are compared, of either side."""
COMPONENTS = 2
"""Principal components of an embedding that a report shows."""


def table(shown: pa.Table, catalog: Catalog) -> pa.Table:
    """GROUPS and COLUMNS of impressions; what the catalogue does not know of a video is null."""
    rows = [catalog.index.get(one) for one in shown["video_id"].to_pylist()]
    videos = [None if row is None else catalog.videos[row] for row in rows]
    about = {
        "topic": pa.array([one and one.topic for one in videos], pa.string()),
        "duration_s": pa.array([one and one.duration_s for one in videos], pa.float64()),
        "caption_words": pa.array([None if one is None else len(one.caption.split()) for one in videos], pa.int64()),
    }
    return pa.table({name: about[name] if name in about else shown[name] for name in (GROUPS, *COLUMNS)})


def embeddings(reference: pa.Table, current: pa.Table, bundle: Bundle) -> Mapping[str, tuple[Vectors, Vectors]]:
    """Of each modality what the videos shown look like to the model; impressions of videos new to it are left out."""
    content = bundle.catalogue().content
    found = []
    for shown in (reference, current):
        place = _places(shown, bundle)
        known = np.flatnonzero(place >= 0)
        known = known[np.linspace(0, len(known) - 1, min(len(known), VECTORS)).astype(np.int64)]
        found.append((content[place[known]], np.asarray(shown[GROUPS].to_pylist(), dtype=object)[known].astype(str)))
    (before, those), (after, these) = found
    return {
        name: (Vectors(before[:, number], those), Vectors(after[:, number], these))
        for number, name in enumerate(MODALITIES)
    }


def components(shown: pa.Table, bundle: Bundle) -> dict[str, pa.Array]:
    """Principal components over the model's catalogue of what each impression's video looks like, by name; null when
    the model does not know the video.
    """
    content, place = bundle.catalogue().content, _places(shown, bundle)
    found = {}
    for number, name in enumerate(MODALITIES):
        centred = content[:, number] - content[:, number].mean(0)
        _, axes = np.linalg.eigh(centred.T @ centred)
        projected = centred @ axes[:, ::-1][:, :COMPONENTS]
        for one in range(projected.shape[1]):
            values = projected[np.maximum(place, 0), one] if len(projected) else np.zeros(len(place))
            found[f"{name} component {one + 1}"] = pa.array(values, pa.float64(), mask=place < 0)
    return found


def _places(shown: pa.Table, bundle: Bundle) -> NDArray[np.int64]:
    """The row of each impression's video in the bundle's catalogue, [N]; -1 for one that is new to it."""
    rows = {video_id: row for row, video_id in enumerate(bundle.catalogue().video_ids)}
    return np.array([rows.get(one, -1) for one in shown["video_id"].to_pylist()], np.int64)
