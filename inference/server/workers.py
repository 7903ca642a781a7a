"""Several workers of one server on one port: each a process of its own, started again when it dies.

The system spreads connections over them (SO_REUSEPORT). Their metrics are kept in a folder that all write to,
so that any of them answers for all.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from inference.server.flags import Listen

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
WORKER = "RAPT_WORKER"
"""Set in a worker that shares its ports: the process id of the one that started it."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
STEADY_S = 10.0
LOOK_EVERY_S = 0.05


def shares_port() -> bool:
    """Whether this process is one of several workers."""
    return WORKER in os.environ


def run_workers(module: str, count: int, arguments: Sequence[str], grace_s: float) -> None:
    """Run `count` workers until SIGTERM or SIGINT, then end them and wait."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    folder = tempfile.mkdtemp(prefix="rapt-metrics-")
    try:
        workers = [_Worker(module, arguments, folder) for _ in range(count)]
        while not ended.wait(LOOK_EVERY_S):
            for worker in workers:
                worker.look()
        for worker in workers:
            worker.stop(grace_s)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def share(module: str, listen: Listen) -> bool:
    """Start the workers that `listen` asks for, and wait for their end; False in a process that is to serve itself."""
    if listen.workers == 1 or shares_port():
        return False
    run_workers(module, listen.workers, sys.argv[1:], listen.grace_s)
    return True


def orphaned() -> bool:
    """Whether the process that started this worker is gone."""
    return shares_port() and os.getppid() != int(os.environ[WORKER])


class _Worker:
    def __init__(self, module: str, arguments: Sequence[str], folder: str) -> None:
        self.command = (sys.executable, "-m", module, *arguments)
        self.environment = {**os.environ, METRICS_FOLDER: folder, WORKER: str(os.getpid())}
        self.folder = Path(folder)
        self.pause_s = FIRST_PAUSE_S
        self.due_at: float | None = None
        self._start()

    def look(self) -> None:
        """Start the worker again some time after it died, later each time it dies at once."""
        if self.process.poll() is None:
            return
        now = time.monotonic()
        if self.due_at is None:
            self.pause_s = FIRST_PAUSE_S if now - self.began_at > STEADY_S else min(2 * self.pause_s, LONGEST_PAUSE_S)
            self.due_at = now + self.pause_s
            print(f"worker {self.process.pid} ended with {self.process.returncode}", file=sys.stderr, flush=True)
            self._forget_gauges()
        if now >= self.due_at:
            self._start()

    def stop(self, grace_s: float) -> None:
        """End the worker: SIGTERM, then SIGKILL after twice its grace."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(2 * grace_s + 1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _start(self) -> None:
        self.due_at, self.began_at = None, time.monotonic()
        self.process = subprocess.Popen(self.command, env=self.environment)

    def _forget_gauges(self) -> None:
        """What a dead worker counted stays, what it was at its end does not."""
        for path in self.folder.glob(f"gauge_live*_{self.process.pid}.db"):
            path.unlink(missing_ok=True)
