"""Processes that one shares its work among, that never outlive it, and that may crash on a hostile file."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import spawn
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any, TypeVar

from interest.errors import InvalidVideo

T = TypeVar("T")
_SPAWNING = threading.Lock()


class Decoders:
    """Processes that decode, one a usable core; one that dies costs only the file it died of."""

    def __init__(self, processes: int | None = None) -> None:
        self.processes = processes or len(os.sched_getaffinity(0))
        self._pool = workers(self.processes)

    def __enter__(self) -> Decoders:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def warm(self, *functions: Callable[..., object]) -> None:
        """Have a process started, with what these need imported, before there is something to decode."""
        self._pool.submit(callable, functions)

    def read(
        self, function: Callable[[Path], T], paths: Sequence[Path], report: Callable[[int], None] = lambda _: None
    ) -> list[T | InvalidVideo]:
        """`function` of each path, or the `InvalidVideo` that it raised or that stands for a crash."""
        waiting = [self._submit(function, path) for path in paths]
        results: list[T | InvalidVideo | BrokenProcessPool] = []
        for future in waiting:
            results.append(_result(future))
            report(len(results))
        if any(isinstance(result, BrokenProcessPool) for result in results):
            self._restart()
        return [
            self._alone(function, path) if isinstance(result, BrokenProcessPool) else result
            for path, result in zip(paths, results, strict=True)
        ]

    def _submit(self, function: Callable[[Path], T], path: Path) -> Future[T]:
        """In new processes when one was killed while it had nothing to do."""
        try:
            return self._pool.submit(function, path)
        except BrokenProcessPool:
            self._restart()
            return self._pool.submit(function, path)

    def _alone(self, function: Callable[[Path], T], path: Path) -> T | InvalidVideo:
        """One file at a time, so that a crash has one culprit."""
        result: T | InvalidVideo | BrokenProcessPool = _result(self._pool.submit(function, path))
        if isinstance(result, BrokenProcessPool):
            self._restart()
            return InvalidVideo(f"{path.name}: the decoder crashed on it; the file is damaged or hostile")
        return result

    def _restart(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._pool = workers(self.processes)


def workers(processes: int) -> ProcessPoolExecutor:
    """A pool of fresh processes: forking one that holds open connections and threads is not safe."""
    return ProcessPoolExecutor(processes, mp_context=_Context(), initializer=_begin_worker)


class _Process(SpawnProcess):
    """Does not run our main module again, as spawn does for what is defined there: it may be a dashboard's page."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        with _SPAWNING:
            whole = spawn.get_preparation_data
            spawn.get_preparation_data = lambda name: {
                key: value for key, value in whole(name).items() if not key.startswith("init_main")
            }
            try:
                return SpawnProcess._Popen(process_obj)
            finally:
                spawn.get_preparation_data = whole


class _Context(SpawnContext):
    Process = _Process


def _begin_worker() -> None:
    """Leave Ctrl-C to the step, which stops its workers as it leaves; end when the step is killed.

    An orphan would wait for work forever and hold the step's output open, which its runner reads to the end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_step, daemon=True).start()


def _end_with_step() -> None:
    step = multiprocessing.parent_process()
    if step is not None:
        step.join()
        os._exit(1)


def _result(future: Future[Any]) -> Any:
    try:
        return future.result()
    except (InvalidVideo, BrokenProcessPool) as error:
        return error
