"""The time of records: their own, but for those from the future, which happened now.

What was now then is remembered, so that a replay gives each record the same time again.
"""

from __future__ import annotations

from collections.abc import Sequence

from wire.kafka import Record

AHEAD_MS = 60_000
"""How far clocks of producers may be ahead of ours."""
Range = tuple[int, int, int]


class Clamp:
    """One partition of one topic; `ranges` (first and last offset, clock) up to `read` are of a process before."""

    def __init__(self, ranges: Sequence[Range] = (), read: int = 0) -> None:
        self.ranges = list(ranges)
        self.clamped = 0
        self._read = read

    def times(self, records: Sequence[Record], now_ms: int) -> list[int]:
        """The records' times in ms."""
        times = [record.ts_ms for record in records]
        if records[0].offset < self._read:
            return [self._before(record) for record in records]
        clock_ms = now_ms // 1000 * 1000
        if max(times) <= clock_ms + AHEAD_MS:
            return times
        first, last = records[0].offset, records[-1].offset
        if self.ranges and self.ranges[-1][2] == clock_ms:
            first = self.ranges.pop()[0]
        self.ranges.append((first, last, clock_ms))
        self.clamped += sum(ms > clock_ms + AHEAD_MS for ms in times)
        return [_clamped(ms, clock_ms) for ms in times]

    def forget(self, before: int) -> None:
        """Let go of what lies before an offset."""
        self.ranges = [one for one in self.ranges if one[1] >= before]

    def _before(self, record: Record) -> int:
        for first, last, clock_ms in self.ranges:
            if first <= record.offset <= last:
                return _clamped(record.ts_ms, clock_ms)
        return record.ts_ms


def _clamped(ms: int, clock_ms: int) -> int:
    return clock_ms if ms > clock_ms + AHEAD_MS else ms
