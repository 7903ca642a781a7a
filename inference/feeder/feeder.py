"""The loop: read what is there, apply it, let a checkpoint take a step, tell how fresh the state is."""

from __future__ import annotations

import logging
import threading
import time

from inference.feeder.dead_letters import DeadLetters
from inference.feeder.metrics import Status
from inference.state.checkpoint import Checkpointer
from inference.state.store import StateWriter
from inference.state.tally import Tally
from wire.errors import KafkaUnavailable, UnknownTopic
from wire.kafka import EARLIEST, EVENTS, UNKNOWN_LAG, Client, KafkaSettings, Record
from wire.kafka.pulse import Pulse
from wire.kafka.source import Source

LOG = logging.getLogger(__name__)
AT_ONCE = 2048
IDLE_S = 0.05
"""The longest wait for a record: the state's age on a quiet stream, and the time to hear that it is to end."""
BEAT_S = 0.01
WAIT_MS = 50
"""How soon a broker that lets a fetch wait is asked again: what a viewer does counts that much later."""


class Feeder:
    """Follows all partitions of `events` from the offsets that the store knows."""

    def __init__(
        self,
        writer: StateWriter,
        kafka: KafkaSettings,
        client: Client,
        pulse: Pulse,
        status: Status,
        ready_lag: int,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        self._writer = writer
        self._pulse = pulse
        self._status = status
        self._ready_lag = ready_lag
        self._checkpointer = checkpointer
        self._dead_letters = DeadLetters(kafka, status)
        self._source = Source(kafka, client, EVENTS, self._starts(), self._gone, at_once=AT_ONCE, wait_ms=WAIT_MS)
        self._stamps: dict[int, int] = {}
        self._beaten = 0.0

    def run(self, ended: threading.Event) -> None:
        """Follow until `ended`; raises KafkaDenied."""
        while not ended.is_set():
            self.turn()

    def turn(self) -> None:
        """Apply what is there, or find within a moment that nothing is."""
        asked_ms = time.time_ns() // 1_000_000
        records = self._read()
        if records:
            self._note(self._writer.apply(records, self._dead_letters.bury))
        if self._checkpointer is not None:
            self._checkpointer.step()
        now = time.monotonic()
        if now - self._beaten >= BEAT_S or not records:
            self._beaten = now
            self._beat(asked_ms)
            self._source.choose_wait()
        if self._pulse.partitions > self._writer.partitions:
            LOG.info("topic %s has %d partitions now", EVENTS, self._pulse.partitions)
            self._writer.partitions = self._pulse.partitions
            self._source.go_on_at(self._starts())

    def close(self) -> None:
        """End the connections."""
        self._writer.beat(0, self._status.fresh_at_ms, self._status.lag, ready=False)
        self._source.close()
        self._dead_letters.close()

    def _starts(self) -> dict[int, int]:
        known = self._writer.offsets()
        return {number: known.get(number, EARLIEST) for number in range(self._writer.partitions)}

    def _read(self) -> list[Record]:
        """What is there; nothing while the brokers are away, which the beat tells."""
        if self._source.connected or self._pulse.alive:
            try:
                return self._source.poll(IDLE_S)
            except (KafkaUnavailable, UnknownTopic) as error:
                LOG.warning("cannot read for now: %s", error)
                self._source.close()
        time.sleep(IDLE_S)
        return []

    def _gone(self, partition: int, made_anew: bool) -> None:
        """Records were deleted before they were read; the histories go on with what there is."""
        self._status.offsets_gone += 1
        if made_anew:
            LOG.error("topic %s was made anew (partition %d): all histories begin again", EVENTS, partition)
            self._writer.clear()
            self._source.go_on_at(self._starts())

    def _note(self, tally: Tally) -> None:
        status = self._status
        for name in ("records", "feedback", "impressions", "late", "too_late", "duplicates", "seen", "moved"):
            setattr(status, name, getattr(status, name) + getattr(tally, name))
        self._stamps.update({partition: record.ts_ms for partition, record in tally.last.items()})

    def _beat(self, asked_ms: int) -> None:
        status = self._status
        lags = self._source.lags()
        behind = [partition for partition, lag in lags.items() if lag]
        status.lag = UNKNOWN_LAG if UNKNOWN_LAG in lags.values() else sum(lags.values())
        if self._pulse.alive:
            fresh_at_ms = min((self._stamps.get(one, 0) for one in behind), default=asked_ms)
            status.fresh_at_ms = max(fresh_at_ms, status.fresh_at_ms) if behind else asked_ms
        status.viewers, status.evictions = self._writer.viewers, self._writer.evictions
        status.offsets = self._writer.offsets()
        if not self._pulse.alive:
            status.waits_for = f"the brokers: {self._pulse.problem}"
        elif status.lag > self._ready_lag:
            status.waits_for = "the lag" if status.lag < UNKNOWN_LAG else "the first answer of the brokers"
        else:
            status.waits_for = ""
        if self._checkpointer is not None:
            outcomes = self._checkpointer.outcomes
            status.checkpoints, status.checkpoints_failed = outcomes.written, outcomes.failed
            status.last_checkpoint_ms = outcomes.last_ms
        now_ms = time.time_ns() // 1_000_000
        self._writer.beat(now_ms, status.fresh_at_ms, status.lag, ready=not status.waits_for)
