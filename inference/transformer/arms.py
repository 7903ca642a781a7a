"""Experiments in front of a predictor: which ones run, as topic `arms` says, and the answer of a viewer's arm."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from dataclasses import dataclass

import msgspec
import numpy as np
from prometheus_client import Counter

from inference.errors import InferenceError
from inference.transformer.backend import Backend, Limits
from interest.experiments.assignment import Allocation, Arm, Trial, assign
from interest.serving import Answer, Ask
from wire.errors import KafkaError, UnknownTopic
from wire.kafka import ARMS, EARLIEST, Client, KafkaSettings, Record, consumer

LOG = logging.getLogger(__name__)
STOOD_IN = Counter("rapt_candidate_failures", "Viewers of a candidate whom the stable model answered", ("experiment",))
BATCH, POLL_S, AGAIN_S, NO_TOPIC_S = 100, 0.2, 0.5, 1.0
BEST = 10
"""Scores of the stable model that a request's baseline is the mean of."""

_DECODER = msgspec.json.Decoder(Allocation)


class Arms:
    """`current` is the newest allocation; `caught_up` says that all that was there at the start is in it."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        self.current = Allocation()
        self.caught_up = False
        self.rejected = 0
        self._offset = EARLIEST
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="arms", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def close(self) -> None:
        """End following."""
        self._ended.set()
        self._thread.join()

    def apply(self, records: list[Record]) -> None:
        """Take the newest over; what cannot be read is passed over, and the one before stays."""
        for record in records:
            try:
                made = _DECODER.decode(record.value or b"")
            except msgspec.DecodeError as error:
                self.rejected += 1
                LOG.error("the allocation at offset %d of %r is not readable: %s", record.offset, ARMS, error)
                continue
            if made.version > self.current.version:
                self.current = made

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._follow()
            except UnknownTopic:
                self.caught_up = True  # where nothing can be said, no experiment runs
                self._ended.wait(NO_TOPIC_S)
            except KafkaError as error:
                LOG.warning("experiments stay as they are for now: %s", error)
                self._ended.wait(AGAIN_S)

    def _follow(self) -> None:
        place = (ARMS, 0)
        source = consumer(self.settings, {place: self._offset}, Client.CONFLUENT)
        try:
            while not self._ended.is_set():
                records = source.poll(BATCH, POLL_S)
                if records:
                    self.apply(records)
                    self._offset = records[-1].offset + 1
                self.caught_up = self.caught_up or source.lags().get(place) == 0
        finally:
            source.close()


@dataclass(frozen=True)
class Answered:
    """What a request's arm came to: see `Exposure`. `digest` is the model that made `answer`."""

    trial: Trial | None
    arm: Arm
    digest: str
    answer: Answer
    baseline: float | None = None
    latency_ms: float = 0.0
    failed: bool = False

    @property
    def experiment(self) -> str | None:
        """The experiment that the viewer is in."""
        return self.trial.experiment if self.trial is not None else None

    @property
    def propensity(self) -> float:
        """The chance that the viewer got this arm."""
        if self.trial is None:
            return 1.0
        return self.trial.share if self.arm is Arm.CANDIDATE else 1.0 - self.trial.share


class Trials:
    """Asks the predictor of each viewer's arm; a candidate's is met when the first of its viewers comes."""

    def __init__(self, stable: Backend, limits: Limits) -> None:
        self.stable, self.limits = stable, limits
        self._candidates: dict[str, Backend] = {}

    async def answer(self, allocation: Allocation | None, user_id: str, ask: Ask) -> Answered:
        """The answer of the viewer's arm; without an allocation everybody's is the stable model, in no experiment."""
        trial = allocation.trial(user_id) if allocation is not None else None
        if trial is None:
            return Answered(None, Arm.STABLE, *await self.stable.answer(ask))
        if assign(trial.salt, trial.experiment, user_id, trial.share) is Arm.STABLE:
            digest, answer, took_ms = await _timed(self.stable, ask)
            return Answered(trial, Arm.STABLE, digest, answer, _baseline(answer), took_ms)
        return await self._candidate(trial, ask)

    async def forget(self, allocation: Allocation) -> None:
        """Let go of candidates that are no longer on trial."""
        for address in self._candidates.keys() - {one.address for one in allocation.trials}:
            await self._candidates.pop(address).close()

    async def close(self) -> None:
        """Let go of all candidates."""
        await self.forget(Allocation())

    async def _candidate(self, trial: Trial, ask: Ask) -> Answered:
        """Asks the stable model as well: for the baseline, which must not depend on the arm, and to stand in."""
        if trial.address not in self._candidates:
            self._candidates[trial.address] = Backend(trial.address, self.stable.model, self.limits)
        began = time.perf_counter()
        both = self.stable.answer(ask), _timed(self._candidates[trial.address], ask)
        stable, mine = await asyncio.gather(*both, return_exceptions=True)
        for failed in (stable, mine):
            if isinstance(failed, BaseException) and not isinstance(failed, InferenceError):
                raise failed
        baseline = None if isinstance(stable, BaseException) else _baseline(stable[1])
        if not isinstance(mine, BaseException) and mine[0] == trial.candidate:
            return Answered(trial, Arm.CANDIDATE, mine[0], mine[1], baseline, mine[2])
        if isinstance(stable, BaseException):
            raise stable
        STOOD_IN.labels(trial.experiment).inc()
        took_ms = (time.perf_counter() - began) * 1e3
        return Answered(trial, Arm.CANDIDATE, *stable, baseline, took_ms, failed=True)


async def _timed(backend: Backend, ask: Ask) -> tuple[str, Answer, float]:
    """Digest, answer, and milliseconds."""
    began = time.perf_counter()
    digest, answer = await backend.answer(ask)
    return digest, answer, (time.perf_counter() - began) * 1e3


def _baseline(answer: Answer) -> float:
    """What the stable model thinks of a request: the mean of its highest scores."""
    scores = answer.probability
    best = scores if len(scores) <= BEST else np.partition(scores, -BEST)[-BEST:]
    return float(best.mean())
