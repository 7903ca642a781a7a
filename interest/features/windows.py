"""Where in a clip the windows lie; frames and sound ask the same function, so they show the same moments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def window_starts(duration_s: float, windows: int, length_s: float) -> NDArray[np.float64]:
    """Starts in seconds, [windows], ascending: the middles of `windows` equal parts of the room there is.

    They overlap in a clip shorter than all of them together; in one shorter than `length_s` all start at 0.
    """
    room = max(0.0, duration_s - length_s)
    return room * (np.arange(windows) + 0.5) / windows
