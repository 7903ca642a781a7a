"""Feature maps of the video encoder, layer by layer, of the frames that were looked at last."""

from __future__ import annotations

import threading
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from interest.bundle import Bundle
from interest.features.pictures import Pixels
from interest.layers import LayerMaps

KEPT = 4


class Layers:
    """One bundle's maps; the graph is loaded when it is asked for first, and what was made last is kept."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._turn = threading.Lock()
        self._made: dict[str, dict[str, NDArray[np.float32]]] = {}

    def of(self, uri: str, frames: Pixels) -> dict[str, NDArray[np.float32]]:
        """Maps [W, K, t, h, w] of frames [W, T, S, S, 3], which are those of `uri`, by layer first to last."""
        with self._turn:
            if uri not in self._made:
                self._made[uri] = self._graph.maps(frames)
            while len(self._made) > KEPT:
                del self._made[next(iter(self._made))]
            return self._made[uri]

    @cached_property
    def _graph(self) -> LayerMaps:
        return LayerMaps(self.bundle)
