"""Processes that a step shares its work among, and that never outlive it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor


def workers(processes: int) -> ProcessPoolExecutor:
    """A pool of fresh processes: forking one that holds open connections and threads is not safe."""
    return ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker)


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
