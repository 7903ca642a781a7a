"""A pipeline on this machine: every step a process, no Docker, no cluster.

The run folder holds the journals (`<step>.jsonl`), `log.txt` with all that kfp and the steps print, and
`artifacts`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from kfp.dsl.base_component import BaseComponent

from components.journal import RUN_DIR, read_lines
from pipelines.compile import checked, compiled
from pipelines.errors import RunFolderUnusable, StepFailed
from pipelines.lint import check
from pipelines.sources import with_digests

LOG = "log.txt"
TICK_S = 0.1
GRACE_S = 10.0
"""Seconds for the steps to end by themselves after Ctrl-C."""
LEAST_FREE_BYTES = 1 << 16
"""A run folder with less cannot tell anything, not even why a step failed."""


@dataclass(frozen=True)
class StepOutcome:
    """What a step that ended told; `outputs` are paths by name."""

    cached: bool
    seconds: float
    result: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """A run that ended well; a step that a gate kept from running is not among `steps`."""

    folder: Path
    seconds: float
    steps: dict[str, StepOutcome]

    @property
    def cached(self) -> bool:
        """Whether nothing had to be done."""
        return all(step.cached for step in self.steps.values())


def run(
    pipeline: BaseComponent,
    arguments: Mapping[str, Any],
    folder: Path,
    environment: Mapping[str, str],
    watch: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run `pipeline` with `environment` (the object store's address and keys) added to the steps' own.

    `watch` is called several times a second. Ctrl-C, or whatever `watch` raises, ends the steps first. Raises
    InvalidArgument, PipelineNotPortable, RunFolderUnusable, and StepFailed with the step's own reason.
    """
    text = compiled(pipeline)
    check(text)
    given = with_digests(checked(pipeline, arguments))
    folder = folder.resolve()
    begun = time.monotonic()
    _prepare(folder, text, given)
    with _temporary() as temporary, (folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines._child", str(folder)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**_environment(folder, environment), "TMPDIR": temporary},
            start_new_session=True,
        )
        try:
            code = _wait(process, watch)
        except BaseException:
            _stop(process)
            raise
        finally:
            assert process.stdin  # noqa: S101
            process.stdin.close()
    if code:
        raise _failure(folder)
    told = {path.stem: _last(path) for path in sorted(folder.glob("*.jsonl"))}
    steps = {name: _ended(last) for name, last in told.items() if last["event"] == "ended"}
    return Outcome(folder, time.monotonic() - begun, steps)


@contextmanager
def _temporary() -> Iterator[str]:
    """For what kfp and the steps put among temporary files: kfp leaves a folder a step there, a killed step more."""
    try:
        made = tempfile.TemporaryDirectory(prefix="rapt-", ignore_cleanup_errors=True)
    except OSError as error:
        raise RunFolderUnusable(f"cannot write temporary files: {error}; set TMPDIR to a folder that can be") from error
    with made as path:
        yield path


def _prepare(folder: Path, text: str, arguments: Mapping[str, Any]) -> None:
    """Empty the folder of an earlier run's journals, and write what this one runs."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for journal in folder.glob("*.jsonl"):
            journal.unlink()
        (folder / "pipeline.yaml").write_text(without_retries(text))
        (folder / "arguments.json").write_text(json.dumps(arguments))
    except OSError as error:
        raise RunFolderUnusable(f"cannot write the run folder {folder}: {error.strerror}; give another") from error


def without_retries(text: str) -> str:
    """A retry mends lost pods; here it would only tell the user later what went wrong."""
    documents = list(yaml.safe_load_all(text))
    spec = documents[0]
    for part in (spec["root"], *spec["components"].values()):
        for task in part.get("dag", {}).get("tasks", {}).values():
            task.pop("retryPolicy", None)
    stripped: str = yaml.safe_dump_all(documents)
    return stripped


def _environment(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    ours = Path(sys.executable).parent
    return {
        **os.environ,
        **environment,
        RUN_DIR: str(folder),
        "PATH": f"{ours}{os.pathsep}{os.environ.get('PATH', '')}",
        # A folder `components` where the user stands must not be taken for ours.
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        # Threads that spin while they wait for each other take ten times as long on cores that others use too.
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
    }


def _wait(process: subprocess.Popen[bytes], watch: Callable[[], None]) -> int:
    while True:
        watch()
        try:
            return process.wait(TICK_S)
        except subprocess.TimeoutExpired:
            continue


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the run and all its steps: as by Ctrl-C, and after a while by force."""
    for how, wait_s in ((signal.SIGINT, GRACE_S), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, how)
            process.wait(wait_s)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _failure(folder: Path) -> StepFailed:
    """Why a run ended badly, from the journals, or else from the end of the log."""
    log = folder / LOG
    if shutil.disk_usage(folder).free < LEAST_FREE_BYTES:
        return StepFailed(f"no space left on the disk of {folder}: free some and run again to go on where it was")
    for path in sorted(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime, reverse=True):
        last = _last(path)
        if last["event"] == "failed":
            return StepFailed(f"{path.stem}: {last['error']}: {last['reason']} (log: {log})")
        if last["event"] != "ended":
            return StepFailed(
                f"{path.stem}: the process died without a word, perhaps for lack of memory; "
                f"run again to go on where it was (log: {log})"
            )
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return StepFailed(f"the run failed outside its steps: {lines[-1] if lines else 'no output'} (log: {log})")


def _last(journal: Path) -> dict[str, Any]:
    """The last whole line; a journal without one tells no more than that its step began."""
    return next(reversed(read_lines(journal.read_bytes())), {"event": "started"})


def _ended(line: Mapping[str, Any]) -> StepOutcome:
    return StepOutcome(line["cached"], line["seconds"], line["result"], line["outputs"])
