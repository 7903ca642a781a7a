"""What a reader of the viewer state is given, whichever store it comes from."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from interest.viewer_rows import ROW, Rows

UNKNOWN = sys.maxsize
"""Age and lag when nothing is known of them."""


@dataclass(frozen=True)
class ViewerState:
    """A viewer's newest feedback events [n <= 100], oldest first, in a copy of the caller's own.

    `rows` is exactly what the viewer's feedback with `since <= offset of the event < offset` in that partition
    of the topic `events` makes (`inference.state.rebuild`). An unknown viewer has no rows and (-1, 0, 0).
    """

    rows: Rows
    partition: int
    offset: int
    since: int


@dataclass(frozen=True)
class Freshness:
    """How far the state is behind the stream.

    `age_ms`: since everything that the broker had was in the state. `lag`: records still to be applied.
    `ready`: restored and the lag under the threshold. `alive`: the feeder gave a sign of life lately.
    """

    age_ms: int
    lag: int
    viewers: int
    ready: bool
    alive: bool


class StateReader(Protocol):
    """Reads viewers' states; safe to share between threads."""

    def read(self, user_id: str) -> ViewerState:
        """The viewer's state; raises StateUnavailable."""

    def freshness(self) -> Freshness:
        """How far the state is behind; never raises: with no state at all nothing is ready or alive."""


NO_ROWS = np.zeros(0, ROW)
NO_ROWS.flags.writeable = False
UNKNOWN_VIEWER = ViewerState(NO_ROWS, -1, 0, 0)
NO_STATE = Freshness(age_ms=UNKNOWN, lag=UNKNOWN, viewers=0, ready=False, alive=False)
