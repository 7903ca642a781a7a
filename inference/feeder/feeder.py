"""The loop: read what is there, apply it, let a checkpoint take a step, tell how fresh the state is."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Sequence

from inference.feeder.dead_letters import DeadLetters
from inference.feeder.metrics import Status
from inference.state.checkpoint import Checkpointer
from inference.state.store import StateWriter
from inference.state.tally import Tally
from wire.errors import OffsetGone
from wire.kafka import EARLIEST, EVENTS, Client, Consumer, KafkaSettings, Record, consumer
from wire.kafka.patience import Patience
from wire.kafka.pulse import Pulse

LOG = logging.getLogger(__name__)
AT_ONCE = 2048
IDLE_S = 0.05
"""The longest wait for a record: the state's age on a quiet stream, and the time to hear that it is to end."""
BEAT_S = 0.01
WAIT_MS = 50
"""How soon a broker that lets a fetch wait is asked again: what a viewer does counts that much later."""
UNKNOWN = sys.maxsize


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
        self._kafka = kafka
        self._client = client
        self._pulse = pulse
        self._status = status
        self._ready_lag = ready_lag
        self._checkpointer = checkpointer
        self._dead_letters = DeadLetters(kafka, status)
        self._patience = Patience(WAIT_MS)
        self._consumer = self._connect()
        self._stamps: dict[int, int] = {}
        self._expected: dict[int, int] = {}
        self._beaten = 0.0

    def run(self, ended: threading.Event) -> None:
        """Follow until `ended`; raises KafkaDenied."""
        while not ended.is_set():
            self.turn()

    def turn(self) -> None:
        """Apply what is there, or find within a moment that nothing is."""
        asked_ms = time.time_ns() // 1_000_000
        try:
            records = self._consumer.poll(AT_ONCE, IDLE_S)
        except OffsetGone as error:
            self._go_to_earliest(error)
            return
        if records:
            if self._expected and self._made_anew(records):
                return
            self._note(self._writer.apply(records, self._dead_letters.bury))
        if self._checkpointer is not None:
            self._checkpointer.step()
        now = time.monotonic()
        if now - self._beaten >= BEAT_S or not records:
            self._beaten = now
            self._beat(asked_ms)
        if self._pulse.partitions > self._writer.partitions:
            LOG.info("topic %s has %d partitions now", EVENTS, self._pulse.partitions)
            self._writer.partitions = self._pulse.partitions
            self._restart()
        lag = self._status.lag
        if lag != UNKNOWN and self._patience.changed(records=len(records), lag=lag):
            LOG.info("%d records behind: fetches may take %d ms", lag, self._patience.wait_ms)
            self._restart()

    def close(self) -> None:
        """End the connections."""
        self._writer.beat(0, self._status.fresh_at_ms, self._status.lag, ready=False)
        self._consumer.close()
        self._dead_letters.close()

    def _connect(self) -> Consumer:
        known = self._writer.offsets()
        starts = {(EVENTS, number): known.get(number, EARLIEST) for number in range(self._writer.partitions)}
        return consumer(self._kafka, starts, self._client, wait_ms=self._patience.wait_ms)

    def _restart(self) -> None:
        self._consumer.close()
        self._consumer = self._connect()

    def _go_to_earliest(self, error: OffsetGone) -> None:
        """Records were deleted before they were read; the histories go on with what there is."""
        LOG.error("%s; going on at the earliest record, histories lack what lay between", error)
        self._status.offsets_gone += 1
        self._expected[error.partition] = self._writer.offsets().get(error.partition, 0)
        self._consumer.seek(EVENTS, error.partition, EARLIEST)

    def _made_anew(self, records: Sequence[Record]) -> bool:
        """Whether the first records after a gap are older than what was read: then the topic is another one."""
        for record in records:
            expected = self._expected.pop(record.partition, None)
            if expected is not None and record.offset < expected:
                LOG.error(
                    "topic %s was made anew (partition %d had reached %d, now begins at %d): all histories begin again",
                    EVENTS, record.partition, expected, record.offset,
                )  # fmt: skip
                self._expected.clear()
                self._writer.clear()
                self._restart()
                return True
        return False

    def _note(self, tally: Tally) -> None:
        status = self._status
        for name in ("records", "feedback", "impressions", "late", "too_late", "duplicates", "seen", "moved"):
            setattr(status, name, getattr(status, name) + getattr(tally, name))
        self._stamps.update({partition: record.ts_ms for partition, record in tally.last.items()})

    def _beat(self, asked_ms: int) -> None:
        status = self._status
        lags = {partition: lag for (_, partition), lag in self._consumer.lags().items()}
        behind = [partition for partition, lag in lags.items() if lag]
        status.lag = UNKNOWN if UNKNOWN in lags.values() else sum(lags.values())
        if self._pulse.alive:
            fresh_at_ms = min((self._stamps.get(one, 0) for one in behind), default=asked_ms)
            status.fresh_at_ms = max(fresh_at_ms, status.fresh_at_ms) if behind else asked_ms
        status.viewers, status.evictions = self._writer.viewers, self._writer.evictions
        status.offsets = self._writer.offsets()
        if status.lag > self._ready_lag:
            status.waits_for = "the lag" if status.lag < UNKNOWN else "the first answer of the brokers"
        else:
            status.waits_for = "" if self._pulse.alive else f"the brokers: {self._pulse.problem}"
        if self._checkpointer is not None:
            outcomes = self._checkpointer.outcomes
            status.checkpoints, status.checkpoints_failed = outcomes.written, outcomes.failed
            status.last_checkpoint_ms = outcomes.last_ms
        now_ms = time.time_ns() // 1_000_000
        self._writer.beat(now_ms, status.fresh_at_ms, status.lag, ready=not status.waits_for)
