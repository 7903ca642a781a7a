"""All videos' features as arrays on disk, row by row as the catalogue: training memory does not grow with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FeatureArrays:
    """`frames` uint8 [V, W, T, S, S, 3], `mfcc` [V, W, C, F], `text` [V, 384] (memory maps), `present` bool [V, 3]."""

    frames: NDArray[np.uint8]
    mfcc: NDArray[np.float32]
    text: NDArray[np.float32]
    present: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.present)
