"""What a step tells while it runs: one JSON object a line, which the live tree reads and a cluster's log keeps."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUN_DIR = "RAPT_RUN_DIR"

_current: ContextVar[Journal] = ContextVar("journal")


@dataclass(frozen=True)
class Journal:
    """Lines go to `<RAPT_RUN_DIR>/<step>.jsonl`, or to standard error where no run folder is set."""

    step: str
    path: Path | None

    @staticmethod
    def of(step: str) -> Journal:
        """The journal of a step that begins now; it becomes `current()`."""
        folder = os.environ.get(RUN_DIR)
        journal = Journal(step, Path(folder) / f"{step}.jsonl" if folder else None)
        _current.set(journal)
        return journal

    def started(self) -> None:
        self._write(event="started")

    def progressed(self, label: str, done: int, total: int, unit: str) -> None:
        with contextlib.suppress(OSError):
            self._write(event="progress", label=label, done=done, total=total, unit=unit)

    def ended(self, *, cached: bool, seconds: float, result: Mapping[str, Any], outputs: Mapping[str, str]) -> None:
        self._write(event="ended", cached=cached, seconds=seconds, result=dict(result), outputs=dict(outputs))

    def failed(self, error: BaseException) -> None:
        """Why the step ends; a disk too full to write it down must not hide the error itself."""
        with contextlib.suppress(OSError):
            self._write(event="failed", error=type(error).__name__, reason=" ".join(str(error).split())[:500])

    def _write(self, **fields: Any) -> None:
        line = json.dumps({"step": self.step, "ts": time.time(), **fields}, default=str)
        if self.path is None:
            print(line, file=sys.stderr, flush=True)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(line + "\n")


def read_lines(text: str | bytes) -> list[dict[str, Any]]:
    """A journal's lines in order; one torn by a kill or a full disk is left out."""
    lines: list[dict[str, Any]] = []
    for text_line in text.splitlines():
        with contextlib.suppress(ValueError):
            line = json.loads(text_line)
            if isinstance(line, dict):
                lines.append(line)
    return lines


def current() -> Journal:
    """The journal of the step that is running."""
    return _current.get(Journal("step", None))
