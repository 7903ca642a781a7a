"""What the joiner has written, as its readers see it: commits in order up to the head, and the segments that they name.

A commit counts once `head.json` has its number or a higher one; what lies beyond was interrupted and will be redone.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from interest.datasets.observations import SCHEMA
from wire.errors import ObjectNotFound
from wire.objects import ObjectStore

LOG = logging.getLogger(__name__)
PREFIX = "observations/"
HEAD = f"{PREFIX}head.json"
READERS, AHEAD = 8, 256
"""Commits that are read at the same time, and that are held at most."""


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file of observations (`interest.datasets.observations.SCHEMA`)."""

    key: str
    rows: int
    sha256: str


class ArmTally(msgspec.Struct):
    """An arm's requests of an experiment, counted as they come, whether or not their labels are known.

    `latency_ms` and `latency_ms_squared` are sums; `first_ms` and `last_ms` by the exposures' own clock, `logged_ms`
    the record's time of the last.
    """

    requests: int = 0
    failed: int = 0
    unknown: int = 0
    candidates: int = 0
    latency_ms: float = 0.0
    latency_ms_squared: float = 0.0
    first_ms: int = 0
    last_ms: int = 0
    logged_ms: int = 0


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A partition: all requests that close by `watermark_ms` are written, nothing else is.

    `replay`: offsets in exposures and events from which all that is open can be made again; `read`: up to where the
    counters count. `clamped`: (0 exposures or 1 events, first and last offset, clock in ms) where records from the
    future were, so that a replay takes them as they were taken.
    """

    watermark_ms: int
    replay: tuple[int, int]
    read: tuple[int, int]
    clamped: tuple[tuple[int, int, int, int], ...] = ()


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """What the joiner has done up to here, and the segments that it wrote with this commit.

    `counters` and `tallies` are since ever. The head is the newest commit with counters, tallies and offsets as of now.
    """

    seq: int
    writer: str
    window_ms: int
    written_ms: int = 0
    places: dict[int, Place] = {}
    segments: tuple[Segment, ...] = ()
    counters: dict[str, int] = {}
    tallies: dict[str, dict[str, ArmTally]] = {}

    @property
    def complete_ms(self) -> int:
        """All exposures that were logged before are in this commit's observations or an earlier one's."""
        return min((place.watermark_ms for place in self.places.values()), default=0) - self.window_ms


def head(store: ObjectStore) -> Commit | None:
    """The newest commit; None before there is one."""
    try:
        return msgspec.json.decode(store.get_bytes(HEAD), type=Commit)
    except ObjectNotFound:
        return None


def commit(store: ObjectStore, seq: int) -> Commit:
    """One commit by its number; raises ObjectNotFound."""
    return msgspec.json.decode(store.get_bytes(key(seq)), type=Commit)


def commits(store: ObjectStore, after: int, upto: int) -> Iterator[Commit]:
    """Commits with numbers from `after` + 1 up to `upto`, in order; those that retention deleted are passed over."""

    def there(seq: int) -> Commit | None:
        try:
            return commit(store, seq)
        except ObjectNotFound:
            return None

    if upto - after <= READERS:
        yield from filter(None, map(there, range(after + 1, upto + 1)))
        return
    with ThreadPoolExecutor(READERS) as pool:
        for first in range(after + 1, upto + 1, AHEAD):
            yield from filter(None, pool.map(there, range(first, min(first + AHEAD, upto + 1))))


def read(store: ObjectStore, segment: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A segment's rows."""
    data = store.get_bytes(segment)
    return pq.read_table(io.BytesIO(data), columns=None if columns is None else list(columns))


def key(seq: int) -> str:
    """Where a commit lies."""
    return f"{PREFIX}commits/{seq:010d}.json"


def segment_key(day: str, seq: int) -> str:
    """Where a segment of a commit lies: one for each day, in UTC, in which its exposures were logged."""
    return f"{PREFIX}day={day}/{seq:010d}.parquet"


class Reader:
    """The newest observations, whatever day they are of; what was read is not read again."""

    def __init__(self, store: ObjectStore, columns: Sequence[str] | None = None) -> None:
        self.store, self.columns = store, columns
        self._read: dict[int, _Read] = {}

    def newest(self, *, most: int, since_ms: int = 0) -> pa.Table:
        """Rows logged from `since_ms` on, in the order of commits: the `most` newest and some more.

        Segments that lack a column, as an earlier version wrote them, are passed over.
        """
        seq = found.seq if (found := head(self.store)) else 0
        used: dict[int, _Read] = {}
        with ThreadPoolExecutor(READERS) as pool:
            while seq > 0 and sum(one.rows for one in used.values()) < most:
                numbers = range(seq, max(seq - READERS, 0), -1)
                # Those that retention has deleted are behind all that are left.
                there = {n: one for n, one in zip(numbers, pool.map(self._of, numbers), strict=True) if one is not None}
                used |= there
                if not there or any(one.written_ms < since_ms for one in there.values()):
                    break
                seq = numbers[-1] - 1
        self._read = used
        tables = [one.table for _, one in sorted(used.items()) if one.table is not None]
        if not tables:
            return SCHEMA.empty_table().select(self.columns or SCHEMA.names)
        made = pa.concat_tables(tables).unify_dictionaries()
        return made.filter(pc.greater_equal(made["logged_ms"], since_ms))

    def _of(self, number: int) -> _Read | None:
        """A commit's rows; None when there is none of that number."""
        if number in self._read:
            return self._read[number]
        try:
            one = commit(self.store, number)
            found = [self._segment(segment.key) for segment in one.segments]
        except ObjectNotFound:
            return None
        parts = [part for part in found if part is not None]
        return _Read(pa.concat_tables(parts).unify_dictionaries() if parts else None, one.written_ms)

    def _segment(self, key: str) -> pa.Table | None:
        """A segment's rows; None when it lacks a column."""
        file = pq.ParquetFile(io.BytesIO(self.store.get_bytes(key)))
        wanted = list(self.columns or SCHEMA.names)
        if missing := [name for name in wanted if name not in file.schema_arrow.names]:
            LOG.warning("%s is passed over: an earlier version wrote it, without %s", key, ", ".join(missing))
            return None
        return file.read(wanted).select(wanted)


@dataclass(frozen=True)
class _Read:
    """A commit's rows, None without any."""

    table: pa.Table | None
    written_ms: int

    @property
    def rows(self) -> int:
        return 0 if self.table is None else len(self.table)
