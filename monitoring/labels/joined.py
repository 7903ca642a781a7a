"""All partitions together: what a commit says, and the files that it names, are made from them without any I/O."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter

import msgspec

from monitoring.labels import rows
from monitoring.labels.partition import Partition
from monitoring.labels.request import Counts, Request
from monitoring.labels.settings import LabelSettings
from monitoring.labels.tallies import Tallies
from wire import observations
from wire.kafka import Record
from wire.observations import Commit, Segment

MOVED_MS = 1000
"""A watermark that moved less is not worth a commit."""
Positions = Mapping[int, tuple[int, int]]
"""By partition, the offsets that come next in exposures and in events."""
_partition = itemgetter(1)


@dataclass(frozen=True)
class Prepared:
    """A commit to be written, the bytes of its segments by key, and the requests in it (`labelled` with a video)."""

    commit: Commit
    files: Mapping[str, bytes]
    requests: int
    labelled: int


class Joined:
    """The state between records and commits, from a `commit` on (of this or another process)."""

    def __init__(self, settings: LabelSettings, commit: Commit, partitions: int) -> None:
        self._settings = settings
        self._commit = commit
        self.counts = msgspec.convert(commit.counters, Counts)
        self.tallies = Tallies(commit.tallies)
        places, before_ms = commit.places, commit.window_ms
        self.partitions = [
            Partition(settings, places[number], before_ms) if number in places else Partition(settings)
            for number in range(partitions)
        ]

    @property
    def open_requests(self) -> int:
        """Requests whose window is not over."""
        return sum(len(one.join) for one in self.partitions)

    def take(self, topic: int, records: Sequence[Record], now_ms: int) -> None:
        """Take records of one topic (its number in `partition.TOPICS`)."""
        for number, group in groupby(sorted(records, key=_partition), _partition):
            self.partitions[number].take(topic, list(group), now_ms, self.counts, self.tallies)

    def progress_ms(self, topic: int, unread: Sequence[int]) -> int | None:
        """Up to when the partitions with `unread` records are read, the slowest of them; None when there are none."""
        return min((self.partitions[number].latest_ms[topic] for number in unread), default=None)

    def watermark_ms(self, now_ms: int) -> int:
        """The least of all partitions'."""
        return min((one.watermark_ms(now_ms) for one in self.partitions), default=0)

    def digests(self) -> set[str]:
        """The models of the requests that were opened."""
        return {digest for one in self.partitions for digest in one.join.digests}

    def close(self, now_ms: int, positions: Positions, duration: rows.Duration) -> Prepared | None:
        """The next commit with all requests whose window is over; None when nothing has moved."""
        closed = [request for one in self.partitions for request in one.close(now_ms, self.counts)]
        if not (closed or self._moved() or self.tallies.moved):
            return None
        seq, missing = self._commit.seq + 1, self.counts.missing_requests
        files, made = {}, []
        for day, requests in sorted(_by_day(closed).items()):
            table = rows.table(requests, self._settings.window_ms, duration, self.counts)
            key, data = observations.segment_key(day, seq), rows.parquet(table)
            files[key] = data
            made.append(Segment(key=key, rows=table.num_rows, sha256=hashlib.sha256(data).hexdigest()))
        self._commit = self._as_of(now_ms, positions, seq, tuple(made))
        labelled = len(closed) - (self.counts.missing_requests - missing)
        return Prepared(self._commit, files, len(closed), labelled)

    def refreshed(self, now_ms: int, positions: Positions) -> Commit:
        """The last commit with counters, tallies and offsets as of now; watermarks and segments stay."""
        self._commit = self._as_of(now_ms, positions, self._commit.seq, self._commit.segments)
        return self._commit

    def _moved(self) -> bool:
        places = self._commit.places
        return any(
            number not in places or one.join.watermark_ms - places[number].watermark_ms >= MOVED_MS
            for number, one in enumerate(self.partitions)
        )

    def _as_of(self, now_ms: int, positions: Positions, seq: int, made: tuple[Segment, ...]) -> Commit:
        self.tallies.moved = False
        return msgspec.structs.replace(
            self._commit,
            seq=seq,
            window_ms=self._settings.window_ms,
            written_ms=now_ms,
            places={number: one.place(*positions[number]) for number, one in enumerate(self.partitions)},
            segments=made,
            counters=msgspec.structs.asdict(self.counts),
            tallies=self.tallies.snapshot(now_ms),
        )


def _by_day(requests: Sequence[Request]) -> dict[str, list[Request]]:
    """Requests by the day of their record; an exposure's own clock may be its caller's."""
    days: dict[str, list[Request]] = defaultdict(list)
    for request in requests:
        days[day_of(request.logged_ms)].append(request)
    return days


def day_of(ms: int) -> str:
    """YYYY-MM-DD in UTC; times outside of the calendar are its first or last day."""
    return datetime.fromtimestamp(min(max(ms // 1000, 0), 253_402_300_799), UTC).strftime("%Y-%m-%d")
