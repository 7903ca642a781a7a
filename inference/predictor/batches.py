"""Requests that come while others run go through the graphs together, in one thread beside the event loop."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import Histogram

from inference.errors import Overloaded
from interest.serving import Answer, Ask

LARGEST_BATCH = 32
MOST_WAITING = 1024
SIZES = Histogram("rapt_predictor_batch_requests", "Requests that ran together", buckets=(1, 2, 4, 8, 16, 32))
SECONDS = Histogram("rapt_predictor_batch_seconds", "Time in the model's graphs a batch",
                    buckets=(.00025, .0005, .001, .002, .004, .008, .016, .032, .064, .128, .5))  # fmt: skip


@dataclass(frozen=True)
class _Job:
    asks: list[Ask]
    answered: asyncio.Future[tuple[str, list[Answer]]]
    loop: asyncio.AbstractEventLoop


class Batches:
    """Runs `score`, which answers asks with the digest of the model that did, for whatever waits."""

    def __init__(self, score: Callable[[list[Ask]], tuple[str, list[Answer]]]) -> None:
        self._score = score
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End when all that waits is answered."""
        self._jobs.put(None)
        self._thread.join()

    async def answer(self, asks: list[Ask]) -> tuple[str, list[Answer]]:
        """The model's digest and an answer to each ask; raises Overloaded, and what `score` raises."""
        if self._jobs.qsize() >= MOST_WAITING:
            raise Overloaded(f"{MOST_WAITING} requests wait already; add predictors, or ask less")
        loop = asyncio.get_running_loop()
        job = _Job(asks, loop.create_future(), loop)
        self._jobs.put(job)
        return await job.answered

    def _run(self) -> None:
        while True:
            jobs: list[_Job] = []
            job = self._jobs.get()
            while job is not None:
                jobs.append(job)
                if sum(len(one.asks) for one in jobs) >= LARGEST_BATCH or self._jobs.empty():
                    break
                job = self._jobs.get()
            if jobs:
                self._answer(jobs)
            if job is None:
                return

    def _answer(self, jobs: list[_Job]) -> None:
        asks = [ask for job in jobs for ask in job.asks]
        SIZES.observe(len(asks))
        began = time.perf_counter()
        try:
            digest, answers = self._score(asks)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            for job in jobs:
                _tell(job, lambda one, error=error: one.set_exception(error))  # type: ignore[misc]
            return
        SECONDS.observe(time.perf_counter() - began)
        place = 0
        for job in jobs:
            mine = (digest, answers[place : place + len(job.asks)])
            place += len(job.asks)
            _tell(job, lambda one, mine=mine: one.set_result(mine))  # type: ignore[misc]


def _tell(job: _Job, set_it: Callable[[asyncio.Future[tuple[str, list[Answer]]]], None]) -> None:
    def resolve() -> None:
        if not job.answered.done():
            set_it(job.answered)

    job.loop.call_soon_threadsafe(resolve)
