"""Where in a clip the windows lie; frames and sound ask the same function, so they show the same moments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from interest.features.media import key_frames_s, playable_s


def placed(container: InputContainer, windows: int, length_s: float) -> NDArray[np.float64]:
    """The starts of an open clip's windows, seconds from its beginning, [windows]."""
    return window_starts(playable_s(container), windows, length_s, key_frames_s(container))


def window_starts(
    duration_s: float, windows: int, length_s: float, key_frames_s: Sequence[float] = ()
) -> NDArray[np.float64]:
    """Starts in seconds, [windows], ascending, one in each of `windows` equal parts of the room there is.

    A window starts at the key frame nearest to the middle of its part, since from there it is decoded with
    nothing before it and holds no cut of the scene; in a part without key frames it starts at the middle.
    Windows overlap in a clip shorter than all of them together; below `length_s` all start at 0.
    """
    part = max(0.0, duration_s - length_s) / windows
    keys = np.asarray(key_frames_s, dtype=np.float64)
    starts = np.asarray((np.arange(windows) + 0.5) * part, np.float64)
    for number, middle in enumerate(starts):
        inside = keys[(keys >= number * part) & (keys < (number + 1) * part)]
        if len(inside):
            starts[number] = inside[np.argmin(np.abs(inside - middle))]
    return starts
