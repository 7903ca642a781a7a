"""Requests that arrive together go through the graphs together.

They run on the event loop itself: a thread beside it would cost each request two wake-ups and a fight for the
interpreter, a tenth of what the graphs take, and all that the loop could do meanwhile is to receive the next batch.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from inference.errors import Overloaded
from inference.server.later import Spread
from interest.serving import Answer, Ask

LARGEST_BATCH = 32
MOST_WAITING = 1024
SIZES = Spread("rapt_predictor_batch_requests", "Requests that ran together", buckets=(1, 2, 4, 8, 16, 32))
SECONDS = Spread("rapt_predictor_batch_seconds", "Time in the model's graphs a batch",
                 buckets=(.00025, .0005, .001, .002, .004, .008, .016, .032, .064, .128, .5))  # fmt: skip

Scored = tuple[str, list[Answer]]
"""The digest of the model that answered, and its answers."""


@dataclass(frozen=True)
class _Job:
    asks: list[Ask]
    answered: asyncio.Future[Scored]


class Batches:
    """Runs `score` for whatever waits, at most `LARGEST_BATCH` requests at a time."""

    def __init__(self, score: Callable[[list[Ask]], Scored]) -> None:
        self._score = score
        self._jobs: deque[_Job] = deque()

    async def answer(self, asks: list[Ask]) -> Scored:
        """The model's digest and an answer to each ask; raises Overloaded, and what `score` raises."""
        if len(self._jobs) >= MOST_WAITING:
            raise Overloaded(f"{MOST_WAITING} requests wait already; add predictors, or ask less")
        loop = asyncio.get_running_loop()
        job = _Job(asks, loop.create_future())
        self._jobs.append(job)
        if len(self._jobs) == 1:
            # Soon, not now: what has arrived already gets into the same batch.
            loop.call_soon(self._run)
        return await job.answered

    def _run(self) -> None:
        jobs = [self._jobs.popleft()]
        size = len(jobs[0].asks)
        while self._jobs and size + len(self._jobs[0].asks) <= LARGEST_BATCH:
            jobs.append(self._jobs.popleft())
            size += len(jobs[-1].asks)
        if self._jobs:
            asyncio.get_running_loop().call_soon(self._run)
        self._answer([job for job in jobs if not job.answered.done()])

    def _answer(self, jobs: list[_Job]) -> None:
        asks = [ask for job in jobs for ask in job.asks]
        if not asks:
            return
        SIZES.note(len(asks))
        began = time.perf_counter()
        try:
            digest, answers = self._score(asks)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            for job in jobs:
                job.answered.set_exception(error)
            return
        SECONDS.note(time.perf_counter() - began)
        place = 0
        for job in jobs:
            job.answered.set_result((digest, answers[place : place + len(job.asks)]))
            place += len(job.asks)
