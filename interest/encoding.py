"""A video's features to a model's content, through the bundle's ONNX encoders; no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from interest.bundle import Bundle
from interest.features.content import Features
from interest.models.names import MODALITIES
from interest.scoring import session

INPUTS = {"video": "frames", "audio": "mfcc", "text": "text"}


class ContentEncoder:
    """The content encoders of one bundle, loaded."""

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        self.bundle = bundle
        self._missing = bundle.catalogue().missing
        self._graphs = {name: session(bundle, f"content_{name}", threads) for name in MODALITIES}

    def encode(self, features: Features) -> NDArray[np.float32]:
        """Content float32 [M, C], as training computes it for the catalogue; missing ones by their token."""
        content = self._missing.copy()
        for number, name in enumerate(MODALITIES):
            value = getattr(features, name)
            if value is not None:
                content[number] = self._graphs[name].run(["content"], {INPUTS[name]: value[None]})[0][0]
        return content
