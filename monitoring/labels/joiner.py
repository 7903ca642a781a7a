"""The loop: read what is there from both topics at the same pace, and write what is closed or counted."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from functools import partial

from monitoring.labels.durations import Durations
from monitoring.labels.errors import PartitionsDiffer
from monitoring.labels.joined import Joined, Positions, Prepared
from monitoring.labels.ledger import Ledger
from monitoring.labels.metrics import Status
from monitoring.labels.partition import TOPICS
from monitoring.labels.probe import Probe
from monitoring.labels.settings import LabelSettings
from wire.errors import KafkaUnavailable, ObjectStoreError, UnknownTopic
from wire.kafka import EARLIEST, UNKNOWN_LAG, Client, KafkaSettings
from wire.kafka.source import Source
from wire.observations import Commit

LOG = logging.getLogger(__name__)
AT_ONCE = 4096
WAIT_MS = 250
IDLE_S = 0.05
"""The longest wait for a record, and to hear that it is to end."""
AHEAD_MS = 60_000
"""How far one topic may be read ahead of the other, by their records' time: it bounds what waits for its other half."""
MOST_TAKEN = 200_000
"""After so many records closed requests are written, whatever time it is: catching up takes no more memory."""
MOST_UNWRITTEN = 600_000
"""After so many records that cannot be written nothing more is read."""
AGAIN_S = 1.0
RECENT_S = 600.0
TELL_S = 0.2


class Joiner:
    """Follows all partitions from where a commit, which is this process's own, ends."""

    def __init__(
        self, settings: LabelSettings, commit: Commit, partitions: int, kafka: KafkaSettings, client: Client,
        ledger: Ledger, durations: Durations, probe: Probe, status: Status,
    ) -> None:  # fmt: skip
        self._settings, self._ledger, self._durations = settings, ledger, durations
        self._probe, self._status = probe, status
        self._joined = Joined(settings, commit, partitions)
        self._partitions = partitions
        self._sources: list[Source] = []
        for topic, name in enumerate(TOPICS):
            starts = dict.fromkeys(range(partitions), EARLIEST)
            starts |= {number: place.replay[topic] for number, place in commit.places.items() if number in starts}
            gone = partial(self._gone, topic)
            self._sources.append(Source(kafka, client, name, starts, gone, at_once=AT_ONCE, wait_ms=WAIT_MS))
        status.counts, status.partitions, status.seq = self._joined.counts, partitions, commit.seq
        status.writer = ledger.writer
        now = time.monotonic()
        self._flushed, self._written, self._told, self._again_at = now, now, 0.0, 0.0
        self._taken = 0
        self._unwritten: Prepared | Commit | None = None
        self._failure = ""
        self._recent: deque[tuple[float, int, int]] = deque()

    def run(self, ended: threading.Event) -> bool:
        """Follow until `ended`, or until the topics have other partitions: gives whether that is so.

        Raises AnotherJoiner, PartitionsDiffer, KafkaDenied.
        """
        while not ended.is_set():
            self.turn()
            found = self._probe.partitions
            if found and set(found) != {self._partitions}:
                check_partitions(found)
                LOG.info("the topics have %d partitions now", found[0])
                self.finish()
                return True
        self.finish()
        return False

    def turn(self) -> None:
        """Read and write what there is; when there is nothing, wait a moment."""
        try:
            taken = self._read()
        except (KafkaUnavailable, UnknownTopic) as error:
            self._status.waits_for = f"the brokers: {error}"
            LOG.warning("cannot read for now: %s", error)
            time.sleep(IDLE_S)
            return
        if taken:
            self._taken += taken
            self._probe.heard()
        now = time.monotonic()
        if now >= self._told + TELL_S:
            self._told = now
            self._learn_ends()
            self._tell(now)
        self._write()

    def finish(self) -> None:
        """One more attempt to write what is closed and counted."""
        self._again_at = 0.0
        if self._unwritten is not None:
            self._attempt()
        if self._unwritten is None:
            self._prepare(flush=self._durations.settled(self._joined.digests()))
            self._attempt()

    def close(self) -> None:
        """End the connections."""
        for source in self._sources:
            source.close()

    def _read(self) -> int:
        """Take in what is there; gives how many records."""
        if self._taken >= MOST_UNWRITTEN:
            time.sleep(IDLE_S)
            return 0
        taken = sum(self._read_one(topic, 0.0) for topic in self._behind())
        for source in self._sources:
            source.choose_wait()
        return taken or self._read_one(self._behind()[-1], IDLE_S)

    def _read_one(self, topic: int, timeout_s: float) -> int:
        records = self._sources[topic].poll(timeout_s)
        if records:
            self._joined.take(topic, records, _now_ms())
        return len(records)

    def _behind(self) -> list[int]:
        """The topics to read from: not the one that is far ahead of the other."""
        progress = []
        for topic, source in enumerate(self._sources):
            progress.append(self._joined.progress_ms(topic, [n for n, lag in source.lags().items() if lag]))
        exposures, events = (math.inf if ms is None else ms for ms in progress)
        return [topic for topic, mine, other in ((0, exposures, events), (1, events, exposures))
                if mine <= other + AHEAD_MS]  # fmt: skip

    def _learn_ends(self) -> None:
        """Have those partitions asked about that look read to their end; take in what was found of them."""
        offsets = [source.positions() for source in self._sources]
        for (name, number), (end, asked_ms) in self._probe.ends.items():
            topic = TOPICS.index(name)
            if offsets[topic][number] >= end:
                self._joined.partitions[number].at_end(topic, asked_ms)
        self._probe.places = {
            (source.topic, number): places[number]
            for source, places in zip(self._sources, offsets, strict=True)
            for number, lag in source.lags().items()
            if lag == 0
        }

    def _positions(self) -> Positions:
        exposures, events = (source.positions() for source in self._sources)
        return {number: (max(exposures[number], 0), max(events[number], 0)) for number in range(self._partitions)}

    def _write(self) -> None:
        """Write when it is time, or again what could not be written before."""
        now = time.monotonic()
        if self._unwritten is None:
            flush = now >= self._flushed + self._settings.rows_s or self._taken >= MOST_TAKEN
            flush = flush and self._durations.settled(self._joined.digests())
            if flush or (now >= self._written + self._settings.commit_s and self._joined.tallies.moved):
                self._prepare(flush=flush)
        if now >= self._again_at:
            self._attempt()

    def _prepare(self, *, flush: bool) -> None:
        """Make what is to be written next."""
        if flush:
            self._flushed, self._taken = time.monotonic(), 0
            self._unwritten = self._joined.close(_now_ms(), self._positions(), self._durations.of)
        elif self._joined.tallies.moved:
            self._unwritten = self._joined.refreshed(_now_ms(), self._positions())

    def _attempt(self) -> None:
        """Write what was made; what the store does not take now it gets again."""
        made, began = self._unwritten, time.monotonic()
        if made is None:
            return
        try:
            if isinstance(made, Prepared):
                self._ledger.write(made)
                self._note(made, began)
            else:
                self._ledger.refresh(made)
        except ObjectStoreError as error:
            self._status.commits_failed += 1
            self._failure = self._status.last_failure = str(error)
            self._again_at = time.monotonic() + AGAIN_S
            LOG.warning("cannot write for now: %s", error)
            return
        self._failure, self._unwritten, self._written = "", None, began

    def _note(self, made: Prepared, began: float) -> None:
        status, now = self._status, time.monotonic()
        status.seq = made.commit.seq
        status.commits += 1
        status.commit_seconds += now - began
        self._recent.append((now, made.requests, made.labelled))

    def _tell(self, now: float) -> None:
        status = self._status
        while self._recent and self._recent[0][0] < now - RECENT_S:
            self._recent.popleft()
        closed = sum(one[1] for one in self._recent)
        status.coverage = sum(one[2] for one in self._recent) / closed if closed else math.nan
        lags = [lag for source in self._sources for lag in source.lags().values()]
        status.lag = None if UNKNOWN_LAG in lags else sum(lags)
        now_ms = _now_ms()
        status.label_lag_seconds = (now_ms - self._joined.watermark_ms(now_ms)) / 1000
        status.open_requests, status.durations = self._joined.open_requests, len(self._durations)
        if self._failure:
            status.waits_for = f"the object store: {self._failure}"
        elif not self._probe.alive:
            status.waits_for = f"the brokers: {self._probe.problem or 'no answer'}"
        else:
            status.waits_for = "the first answer of the brokers" if status.lag is None else ""

    def _gone(self, topic: int, number: int, anew: bool) -> None:
        """Records of a partition were deleted unread; `anew`: so was the whole topic."""
        self._joined.counts.offsets_gone += 1
        if anew:
            LOG.error("topic %s was made anew: partition %d is read from its beginning", TOPICS[topic], number)
            self._joined.partitions[number].made_anew(topic)


def check_partitions(found: tuple[int, ...]) -> None:
    """Raises PartitionsDiffer unless both topics have the same number."""
    if len(set(found)) > 1:
        names = ", ".join(f"{name} has {count}" for name, count in zip(TOPICS, found, strict=True))
        raise PartitionsDiffer(
            f"topics with different numbers of partitions cannot be joined ({names}): a viewer's records must be in "
            "the same partition of both; give the smaller one as many as the other"
        )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
