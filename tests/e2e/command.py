"""The `rapt` command as a user starts it: real processes, a home and an object store of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from components.journal import read_lines
from interest.catalog import Catalog

ROOT = Path(__file__).parents[2]
VIDEOS = 130
"""Three shards: 64, 64 and 2."""
MEDIA = ("pipeline", "run", "media", "--world-videos", str(VIDEOS))
SMALL = """
import sys
from pipelines.known import PIPELINES
from tests.pipelines import small
PIPELINES["media"] = small.media
from rapt.cli import main
main()
"""
"""`rapt` with one more pipeline, `media`: what `training` does before it learns."""


@dataclass(frozen=True)
class Rapt:
    """`rapt` with the home `home`; `started` are the commands so far."""

    home: Path
    environment: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command that goes on running, in a session of its own, as a terminal gives it."""
        process = subprocess.Popen(
            [sys.executable, "-c", SMALL, *arguments],
            cwd=ROOT, env={**os.environ, **self.environment}, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.started.append(process)
        return process

    def end(self) -> None:
        """End what a failed test left running; a run's steps end with it."""
        for process in self.started:
            process.kill()
            process.wait()

    def __call__(self, *arguments: str, deadline_s: float = 240) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, told = process.communicate(timeout=deadline_s)
        return subprocess.CompletedProcess(arguments, process.returncode, out, told)

    def document(self, *arguments: str) -> dict[str, Any]:
        """What a command that must succeed prints with `--json`."""
        done = self(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def store(self) -> psutil.Process:
        """The object store's process."""
        return psutil.Process(json.loads((self.home / "run" / "object-store.pid").read_text())["pid"])

    def last_run(self) -> Path:
        """The folder of the run that began last."""
        return max((self.home / "runs").iterdir(), key=lambda folder: folder.stat().st_ctime_ns)

    def progress(self, step: str) -> list[int]:
        """How many items `step` of the last run told as done, line by line; none before it begins."""
        journal = self.last_run() / f"{step}.jsonl" if any(self.home.glob("runs/*")) else None
        lines = read_lines(journal.read_bytes()) if journal and journal.exists() else []
        return [line["done"] for line in lines if "done" in line]


def resumed(done: list[int], shard: int = 64) -> bool:
    """Whether no item of the first shard was worked on one by one."""
    return bool(done) and not any(0 < count < shard for count in done)


def whole(run: dict[str, Any]) -> None:
    """The run made features of every video."""
    steps = {step["name"]: step for step in run["steps"]}
    assert steps["render_videos"]["result"] == {"videos": VIDEOS}
    assert len(Catalog.read(Path(steps["render_videos"]["artifacts"]["catalog"]))) == VIDEOS
    assert steps["preprocess_video"]["result"] == {"videos": VIDEOS, "rejected": 0}
