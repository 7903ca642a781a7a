"""Feature maps of the video encoder, layer by layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from interest.bundle import Bundle
from interest.explain import ActivationMaps
from interest.features.pictures import Pixels


def feature_maps(bundle: Bundle, frames: Pixels) -> dict[str, NDArray[np.float32]]:
    """Maps [W, K, t, h, w] of frames [W, T, S, S, 3], by the layer's name, from the first to the last."""
    return {"last": ActivationMaps(bundle).maps(frames)}
