"""Keeps the laptop's stack alive: starts a service again when it died, later each time it dies at once.

python -m rapt.supervisor    (started by `rapt up`, ended by `rapt down`)

It holds nothing that the services need: when it is killed they go on, and the next `rapt up` starts it again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rapt import service
from rapt.errors import PortInUse
from rapt.service import Service

NAME = "supervisor"
LOOK_EVERY_S = 0.1
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
STEADY_S = 30.0
"""A service that lived this long may die once more without a longer pause."""


@dataclass
class Restarts:
    """What happened to one service since `rapt up`."""

    count: int = 0
    last: str = ""
    pause_s: float = FIRST_PAUSE_S
    due_at: float | None = None
    alive_since: float = 0.0


class Supervisor:
    """Looks after `services`; `clock` in seconds, so that tests need not wait."""

    def __init__(
        self, services: Sequence[Service], run_folder: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.services = tuple(services)
        self.run_folder = run_folder
        self.clock = clock
        self.known = {one.name: Restarts(alive_since=clock()) for one in services}
        self._write()

    def look(self) -> None:
        """Start again what died, when its pause is over."""
        reap()
        for one in self.services:
            if service.find(one.name, self.run_folder) is None:
                self._died(one)
            elif self.known[one.name].due_at is not None:
                self.known[one.name].due_at = None

    def _died(self, one: Service) -> None:
        state, now = self.known[one.name], self.clock()
        if state.due_at is None:
            if now - state.alive_since > STEADY_S:
                state.pause_s = FIRST_PAUSE_S
            state.due_at = now + state.pause_s
            state.pause_s = min(2 * state.pause_s, LONGEST_PAUSE_S)
        if now < state.due_at:
            return
        words = service.last_words(one.name, self.run_folder)
        try:
            began = service.launch(one, self.run_folder)
        except (PortInUse, OSError) as error:
            state.last = f"{_clock()}: {error}"
            state.due_at = now + state.pause_s
            state.pause_s = min(2 * state.pause_s, LONGEST_PAUSE_S)
            _tell(f"{one.name} cannot start: {error}")
        else:
            state.due_at, state.alive_since = None, now
            if began:
                state.count += 1
                state.last = f"{_clock()}: it had ended, with the words: {words}"
                _tell(f"{one.name} had ended and was started again, for the {state.count}. time")
        self._write()

    def _write(self) -> None:
        part = restarts_file(self.run_folder).with_suffix(".part")
        known = {name: {"count": one.count, "last": one.last} for name, one in self.known.items()}
        part.write_text(json.dumps(known))
        part.replace(restarts_file(self.run_folder))


def supervisor(run_folder: Path, environment: dict[str, str]) -> Service:
    """The supervisor itself as a service; it is ready once it has written how often it restarted what."""
    return Service(
        name=NAME,
        command=(sys.executable, "-m", "rapt.supervisor"),
        environment=environment,
        ports=(),
        port_setting="",
        address="",
        data=run_folder,
        ready=restarts_file(run_folder).exists,
    )


def restarts_file(run_folder: Path) -> Path:
    """Where the supervisor writes its counts."""
    return run_folder / "restarts.json"


def restarts(run_folder: Path) -> dict[str, dict[str, Any]]:
    """How often each service was started again and why last; empty when no supervisor ran."""
    try:
        found: dict[str, dict[str, Any]] = json.loads(restarts_file(run_folder).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found


def reap() -> None:
    """Take note of ended children, so that they do not stay as zombies."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main() -> None:
    """Look after the services of this user's settings until SIGTERM."""
    from rapt import settings, stack

    chosen = settings.load()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    watched = Supervisor(stack.services(chosen), chosen.run_folder)
    while not ended.wait(LOOK_EVERY_S):
        with (chosen.run_folder / "stack.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # somebody starts or ends services just now
            watched.look()


def _tell(text: str) -> None:
    print(f"{_clock()} {text}", flush=True)


def _clock() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"


if __name__ == "__main__":
    main()
