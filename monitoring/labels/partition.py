"""One partition of both topics: records in, closed requests out, and the place from which it can be made again."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from monitoring.labels.clamp import Clamp
from monitoring.labels.intake import Rejected, acts, asked
from monitoring.labels.request import Counts, Request
from monitoring.labels.settings import LabelSettings
from monitoring.labels.tallies import Tallies
from monitoring.labels.window import Join
from wire.kafka import EVENTS, EXPOSURES, Record
from wire.observations import Place

LOG = logging.getLogger(__name__)
TOPICS = (EXPOSURES, EVENTS)
"""In the order of pairs in a `Place`."""
NOWHERE = Place(watermark_ms=0, replay=(0, 0), read=(0, 0))


class Partition:
    """What is open in a partition; `place` is where a process before had got to, with `window_before_ms`."""

    def __init__(self, settings: LabelSettings, place: Place = NOWHERE, window_before_ms: int = 0) -> None:
        self._slack_ms = settings.slack_ms
        watermark_ms = place.watermark_ms + settings.window_ms - (window_before_ms or settings.window_ms)
        self.join = Join(settings.window_ms, settings.slack_ms, watermark_ms)
        self._counted_from = list(place.read)
        self._began = place.replay
        self._clamps = [
            Clamp([one[1:] for one in place.clamped if one[0] == topic], place.read[topic]) for topic in (0, 1)
        ]
        self.latest_ms = [0, 0]
        self._reached_ms = [0, 0]

    def take(self, topic: int, records: Sequence[Record], now_ms: int, counts: Counts, tallies: Tallies) -> None:
        """Take records of one topic (its number in TOPICS) in the order of offsets."""
        counted_from = self._counted_from[topic]
        if records[0].offset < counted_from <= records[-1].offset:
            cut = next(number for number, record in enumerate(records) if record.offset >= counted_from)
            self.take(topic, records[:cut], now_ms, counts, tallies)
            records = records[cut:]
        if records[0].offset < counted_from:
            counts, tallies = Counts(), Tallies({})
        clamp = self._clamps[topic]
        clamped = clamp.clamped
        times = clamp.times(records, now_ms)
        counts.clamped += clamp.clamped - clamped
        if topic:
            self._take_events(records, times, counts)
        else:
            self._take_exposures(records, times, counts, tallies)
        self.latest_ms[topic] = max(self.latest_ms[topic], *times)

    def at_end(self, topic: int, asked_ms: int) -> None:
        """All that was there at `asked_ms` has been taken."""
        self._reached_ms[topic] = max(self._reached_ms[topic], asked_ms)

    def made_anew(self, topic: int) -> None:
        """The topic begins again at offset 0."""
        self._counted_from[topic] = 0
        self._clamps[topic] = Clamp()

    def watermark_ms(self, now_ms: int) -> int:
        """Nothing that was logged before is still to come."""
        reached = (max(pair) for pair in zip(self.latest_ms, self._reached_ms, strict=True))
        return min(*reached, now_ms) - self._slack_ms

    def close(self, now_ms: int, counts: Counts) -> list[Request]:
        """The requests whose window is over."""
        return self.join.close(self.watermark_ms(now_ms), counts, self._counted_from[1])

    def place(self, exposures: int, events: int) -> Place:
        """Where a process after this one goes on; given the offsets that come next."""
        replay = self.join.replay(exposures, events)
        if exposures < self._counted_from[0] or events < self._counted_from[1]:
            # What was repeated is known only when all is read again that a process before had read.
            replay = min(replay[0], self._began[0]), min(replay[1], self._began[1])
        clamped: list[tuple[int, int, int, int]] = []
        for topic, clamp in enumerate(self._clamps):
            clamp.forget(replay[topic])
            clamped.extend((topic, *one) for one in clamp.ranges)
        read = max(exposures, self._counted_from[0]), max(events, self._counted_from[1])
        return Place(watermark_ms=self.join.watermark_ms, replay=replay, read=read, clamped=tuple(clamped))

    def _take_exposures(
        self, records: Sequence[Record], times: Sequence[int], counts: Counts, tallies: Tallies
    ) -> None:
        taken, rejected = asked(records)
        counts.exposures += len(records)
        _tell(rejected, counts)
        at = _at(records, times)
        for record, one in taken:
            candidates, ms = len(one.candidates), at[record.offset]
            if self.join.expose(one, ms, record.offset, counts):
                tallies.count(one, candidates, ms)

    def _take_events(self, records: Sequence[Record], times: Sequence[int], counts: Counts) -> None:
        taken, rejected = acts(records)
        counts.events += len(records)
        act = self.join.act
        if not rejected:
            for (record, one), ms in zip(taken, times, strict=True):
                act(one, ms, record.offset, counts)
            return
        _tell(rejected, counts)
        at = _at(records, times)
        for record, one in taken:
            act(one, at[record.offset], record.offset, counts)


def _at(records: Sequence[Record], times: Sequence[int]) -> dict[int, int]:
    return dict(zip((record.offset for record in records), times, strict=True))


def _tell(rejected: Rejected, counts: Counts) -> None:
    if rejected:
        record, reason = rejected[0]
        counts.rejected += len(rejected)
        LOG.warning(
            "%d records without labels; the first, offset %d of partition %d of %s: %s",
            len(rejected), record.offset, record.partition, record.topic, reason,
        )  # fmt: skip
