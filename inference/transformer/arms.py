"""Experiments in front of a predictor: the answer of a viewer's arm."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import numpy as np
from prometheus_client import Counter

from inference.errors import InferenceError
from inference.transformer.backend import Backend, Limits
from interest.experiments.assignment import Allocation, Arm, Trial, assign
from interest.serving import Answer, Ask

STOOD_IN = Counter("rapt_candidate_failures", "Viewers of a candidate whom the stable model answered", ("experiment",))
BEST = 10
"""Scores of the stable model that a request's baseline is the mean of."""


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
