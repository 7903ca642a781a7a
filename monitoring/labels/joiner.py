"""Follows both topics and writes what is closed, in commits that a crash leaves whole or not at all.

Nothing of what is open is kept: a commit says from which offsets it can be made again, and by the watermark which
requests are written already. Order: segments, the commit, the head; a commit beyond the head is done again.
"""

from __future__ import annotations

import hashlib
import io
import logging
import secrets
import time
from collections import Counter, deque
from collections.abc import Sequence

import msgspec
import pyarrow.parquet as pq

from monitoring.labels import segments
from monitoring.labels.durations import Durations
from monitoring.labels.errors import AnotherJoiner, UnequalPartitions
from monitoring.labels.metrics import Status
from monitoring.labels.rows import Rows
from monitoring.labels.segments import ArmTally, Commit, Place, Segment
from monitoring.labels.settings import LabelSettings
from monitoring.labels.window import Window
from wire.errors import OffsetGone
from wire.kafka import CONTENT, EARLIEST, EVENTS, EXPOSURES, UNKNOWN_LAG, Admin, Client, KafkaSettings, Record, consumer
from wire.kafka.pulse import Pulse
from wire.objects import ObjectStore

LOG = logging.getLogger(__name__)
AT_ONCE, IDLE_S = 5000, 0.1
MOST_ROWS = 200_000
"""Rows that are written at once, whatever time it is."""
QUIET_MS = 10_000
"""Without a row or a request the watermark alone is written this often."""
RECENT = 60
"""Commits that the coverage is of."""
FORGET_MS = 7 * 86_400_000
"""A tally to which nothing came for so long is dropped."""


class Joiner:
    """All partitions, from where the last commit ended; raises WireError, UnequalPartitions, AnotherJoiner."""

    def __init__(
        self, store: ObjectStore, kafka: KafkaSettings, settings: LabelSettings, durations: Durations, pulse: Pulse,
        status: Status,
    ) -> None:  # fmt: skip
        self.store, self.settings, self.durations, self.pulse, self.status = store, settings, durations, pulse, status
        self.writer = secrets.token_hex(8)
        self.window_ms, self.slack_ms = round(1000 * settings.window_s), round(1000 * settings.slack_s)
        partitions = _partitions(kafka)
        self.last = segments.head(store)
        places = self.last.places if self.last is not None else {}
        self.windows = [self._window(places.get(number)) for number in range(partitions)]
        self.counted = [list(places[n].read) if n in places else [0, 0] for n in range(partitions)]
        self.counters = Counter(self.last.counters if self.last is not None else {})
        self.tallies = self.last.tallies if self.last is not None else {}
        self.rows = Rows(self.window_ms, durations.of)
        starts: dict[tuple[str, int], int] = {(CONTENT, 0): EARLIEST}
        for number in range(partitions):
            replay = places[number].replay if number in places else (EARLIEST, EARLIEST)
            starts |= {(EXPOSURES, number): replay[0], (EVENTS, number): replay[1]}
        self.starts = starts
        self.consumer = consumer(kafka, starts, Client.CONFLUENT)
        self._recent: deque[tuple[int, int]] = deque(maxlen=RECENT)
        self._commit_at = 0.0

    def step(self) -> None:
        """Read what is there, close what is over, write when it is time."""
        asked_ms = time.time_ns() // 1_000_000
        try:
            records = self.consumer.poll(AT_ONCE, IDLE_S)
        except OffsetGone as error:
            LOG.error("%s; going on at the earliest record, observations lack what lay between", error)
            self.counters["offsets_gone"] += 1
            self.consumer.seek(error.topic, error.partition, EARLIEST)
            return
        self._take(records)
        self._close(asked_ms)
        if time.monotonic() >= self._commit_at or self.rows.count >= MOST_ROWS:
            self.commit()

    def commit(self) -> None:
        """Write what is new since the last commit, if anything is."""
        self._commit_at = time.monotonic() + self.settings.commit_s
        before = self.last
        if before is not None and not self._news(before):
            return
        newest = segments.head(self.store)
        seen = (before.seq, before.writer) if before is not None else None
        if newest is not None and (newest.seq, newest.writer) != seen:
            raise AnotherJoiner(f"commit {newest.seq} was written by another joiner ({newest.writer}): this one ends")
        self._recent.append((self.rows.requests, self.rows.labelled))
        counted, labelled = (sum(values) for values in zip(*self._recent, strict=True))
        made = self._made(before.seq + 1 if before is not None else 0)
        body = msgspec.json.encode(made)
        self.store.put_bytes(segments.key(made.seq), body)
        self.store.put_bytes(segments.HEAD, body)
        self.last = made
        self.status.seq, self.status.counters = made.seq, dict(made.counters)
        self.status.coverage = labelled / counted if counted else None

    def close(self) -> None:
        """End the client."""
        self.consumer.close()

    def _window(self, place: Place | None) -> Window:
        made = Window(self.window_ms, self.slack_ms, place.watermark_ms if place is not None else 0)
        made.replaying = place is not None
        return made

    def _take(self, records: Sequence[Record]) -> None:
        for topic, partition, offset, ts_ms, _, value, _ in records:
            if topic == CONTENT:
                self.durations.take(value)
                continue
            which = int(topic == EVENTS)
            window, counted = self.windows[partition], offset >= self.counted[partition][which]
            if which:
                window.event(ts_ms, offset, value, counted=counted)
            else:
                window.exposure(ts_ms, offset, value, counted=counted)

    def _close(self, asked_ms: int) -> None:
        lags, positions = self.consumer.lags(), self.consumer.positions()
        alive = self.pulse.alive
        for number, window in enumerate(self.windows):
            window.replaying = window.replaying and positions[EXPOSURES, number] < self.counted[number][0]
            ends = [alive and lags.get((topic, number)) == 0 for topic in (EXPOSURES, EVENTS)]
            reached = window.watermark(asked_ms, exposures_at_end=ends[0], events_at_end=ends[1])
            for request in window.close(reached):
                self.rows.add(request)
        unknown = UNKNOWN_LAG in lags.values()
        self.status.lag = UNKNOWN_LAG if unknown else sum(lags.values())
        self.status.open_requests = sum(map(len, self.windows))
        oldest = min(window.closed_ms for window in self.windows)
        self.status.watermark_age_seconds = (asked_ms - oldest) / 1e3 if oldest else float("nan")
        self.status.waits_for = "" if alive and not unknown else f"the brokers: {self.pulse.problem or 'no answer yet'}"

    def _news(self, before: Commit) -> bool:
        """Whether something came, or the watermark went far without."""
        if self.rows.count or any(window.tallies or window.counts for window in self.windows):
            return True
        moved = [window.closed_ms - before.places[n].watermark_ms for n, window in enumerate(self.windows)
                 if n in before.places]  # fmt: skip
        return len(moved) < len(self.windows) or max(moved) >= QUIET_MS

    def _made(self, seq: int) -> Commit:
        """The commit, with its segments written."""
        self._gather()
        rows = self.rows.count
        self.counters.update(rows=rows, requests=self.rows.requests, labelled=self.rows.labelled, commits=1,
                             unknown_durations=self.rows.unknown_durations,
                             foreign_videos=self.rows.foreign_videos)  # fmt: skip
        self.rows.requests = self.rows.labelled = self.rows.unknown_durations = self.rows.foreign_videos = 0
        written = []
        for day, table in self.rows.take().items():
            sink = io.BytesIO()
            pq.write_table(table, sink, compression="zstd")
            body = sink.getvalue()
            key = f"{segments.PREFIX}day={day}/{seq:010d}.parquet"
            self.store.put_bytes(key, body)
            written.append(Segment(key=key, rows=table.num_rows, sha256=hashlib.sha256(body).hexdigest()))
        positions = self.consumer.positions()
        places = {}
        for number, window in enumerate(self.windows):
            exposures, events = (
                max(positions[topic, number], self.starts[topic, number], 0) for topic in (EXPOSURES, EVENTS)
            )
            counted = self.counted[number]
            places[number] = Place(
                watermark_ms=window.closed_ms, replay=window.replay((exposures, events)),
                read=(max(exposures, counted[0]), max(events, counted[1])),
            )  # fmt: skip
        return Commit(
            seq=seq, writer=self.writer, window_ms=self.window_ms, places=places, segments=tuple(written),
            counters=dict(self.counters), tallies=self.tallies,
        )  # fmt: skip

    def _gather(self) -> None:
        """The windows' counts and tallies since the last commit, into the cumulative ones."""
        now_ms = time.time_ns() // 1_000_000
        for window in self.windows:
            self.counters.update(window.counts)
            window.counts.clear()
            for experiment, arms in window.tallies.items():
                for arm, tally in arms.items():
                    kept = self.tallies.setdefault(experiment, {}).setdefault(arm, ArmTally())
                    kept.requests += tally.requests
                    kept.failed += tally.failed
                    kept.first_ms = kept.first_ms or tally.first_ms
                    kept.last_ms = max(kept.last_ms, tally.last_ms)
            window.tallies.clear()
        for experiment in [name for name, arms in self.tallies.items()
                           if max(tally.last_ms for tally in arms.values()) < now_ms - FORGET_MS]:  # fmt: skip
            del self.tallies[experiment]


def _partitions(kafka: KafkaSettings) -> int:
    admin = Admin(kafka)
    try:
        exposures, events = admin.partitions(EXPOSURES), admin.partitions(EVENTS)
    finally:
        admin.close()
    if exposures != events:
        raise UnequalPartitions(
            f"topic {EXPOSURES!r} has {exposures} partitions and {EVENTS!r} {events}: give them the same number"
        )
    return exposures
