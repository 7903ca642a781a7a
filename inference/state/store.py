"""What the feeder needs of a store of viewers' states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from inference.state.tally import Bury, Tally, ignore
from wire.kafka import Record


class StateWriter(Protocol):
    """The one writer of viewers' states and of the offsets that go with them; `partitions`: how many the topic has."""

    partitions: int

    def apply(self, records: Sequence[Record], bury: Bury = ignore) -> Tally:
        """Take records in, those of a partition in the order of their offsets; what was applied before is skipped.

        `bury` is given what cannot be used before the offsets go past it.
        """

    def offsets(self) -> dict[int, int]:
        """The next offset of each partition of which something was read."""

    def beat(self, now_ms: int, fresh_at_ms: int, lag: int, *, ready: bool) -> None:
        """Let readers know how far the state is: a sign of life, to be given several times a second."""

    def clear(self) -> None:
        """Forget all viewers and offsets, as for a topic that was made anew."""

    @property
    def viewers(self) -> int:
        """Viewers that have a state."""

    @property
    def evictions(self) -> int:
        """Viewers that had to go for others, since the start."""
