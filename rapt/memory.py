"""The most memory that processes took together while something ran."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from types import TracebackType

import psutil


class PeakMemory:
    """Inside `with`, samples this process, its descendants and the processes that `others` gives (pids).

    `bytes` is the peak of their sum; pages that several share are counted once, in parts, where the
    system tells (PSS), else in each (RSS).
    """

    def __init__(self, others: Callable[[], Iterable[int]] = tuple, every_s: float = 0.5) -> None:
        self.bytes = 0
        self._others, self._every_s = others, every_s
        self._end = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._sampler.join()

    def _sample(self) -> None:
        me = psutil.Process()
        while True:
            last = self._end.wait(self._every_s)
            found = {process.pid: process for process in (me, *me.children(recursive=True))}
            for pid in self._others():
                with contextlib.suppress(psutil.NoSuchProcess):
                    found[pid] = psutil.Process(pid)
            self.bytes = max(self.bytes, sum(map(taken, found.values())))
            if last:
                return


def taken(process: psutil.Process) -> int:
    """Bytes of memory of one process; 0 when it has ended."""
    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.rss))
    except psutil.AccessDenied:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
