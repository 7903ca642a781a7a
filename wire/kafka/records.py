"""What a stream's reader and writer exchange with it, whichever client is underneath."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple, Protocol

EARLIEST = -2
"""Start at the oldest record that the broker still has."""
UNKNOWN_LAG = sys.maxsize
"""The lag of a partition from which nothing was heard yet: never taken for caught up."""

Headers = Sequence[tuple[str, bytes]]


class Record(NamedTuple):
    """One record as read; `ts_ms` is the producer's clock, `value` None is a tombstone."""

    topic: str
    partition: int
    offset: int
    ts_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Producer(Protocol):
    """Sends records: each once, acknowledged by all in-sync replicas, a key always to the same partition.

    Records of one partition arrive in the order in which they were sent. Safe to share between threads. (Once
    does not hold for the embedded broker when it is killed: see `wire.kafka.clients.producer`.)
    """

    def send(self, topic: str, key: bytes, value: bytes | None, headers: Headers = ()) -> None:
        """Take a record for sending in the background.

        Raises BufferFull when there is no room for it, RecordTooLarge, KafkaDenied and UnknownTopic where known.
        """

    def flush(self, timeout_s: float) -> None:
        """Wait until all that was sent is acknowledged.

        Raises DeliveryFailed, naming topic and reason, when something since the last flush was not or not yet
        acknowledged, KafkaDenied when the reason is a missing right, UnknownTopic when it is a missing topic.
        """

    @property
    def unacknowledged(self) -> int:
        """Records on their way."""

    @property
    def failed(self) -> int:
        """Records that were given up, since the start."""

    def close(self) -> None:
        """End the client; what is unacknowledged gets a last chance of 5 s."""


class Consumer(Protocol):
    """Reads given partitions in order from given offsets; only what no open transaction may still take back."""

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """Up to `max_records` records, at once when there are some; empty when none came within `timeout_s`.

        Raises OffsetGone, KafkaDenied, UnknownTopic; a broker that is away is waited for. To be called by
        one thread.
        """

    def positions(self) -> dict[tuple[str, int], int]:
        """The offset that comes next, by topic and partition."""

    def lags(self) -> dict[tuple[str, int], int]:
        """Records between position and the partition's end as the last fetch told it; UNKNOWN_LAG before one did."""

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Go on at another offset, or at EARLIEST; also how to go on after OffsetGone."""

    def close(self) -> None:
        """End the client."""
