"""One local run of a pipeline: its folder, its live tree, and what came of it."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from components.runtime import NO_CACHE
from pipelines import local
from pipelines.compile import checked, find, step_names
from pipelines.errors import RunFolderUnusable
from rapt import stack
from rapt.settings import Settings
from rapt.tree import State, Step, Tree, shown

RECORD = "run.json"


@dataclass(frozen=True)
class Outcome:
    """A run as `run.json` holds it; `status` is running, succeeded, failed or interrupted.

    `model` is the digest of the model that was made, which the store has when `published`; `metrics` are its
    figures on the test part of time, `held_for` what kept it from being published.
    """

    run_id: str
    pipeline: str
    arguments: Mapping[str, Any]
    folder: Path
    started_at: str
    status: str = "running"
    seconds: float = 0.0
    steps: tuple[Step, ...] = ()
    model: str = ""
    published: bool = False
    held_for: str = ""
    metrics: Mapping[str, float] | None = None

    @property
    def cached(self) -> bool:
        """Whether no step had to work."""
        return all(step.state in (State.CACHED, State.SKIPPED) for step in self.steps)

    def step(self, name: str) -> Step:
        """The step called `name`; raises KeyError."""
        return {step.name: step for step in self.steps}[name]

    def document(self) -> dict[str, Any]:
        """What is printed and kept, as plain values."""
        steps = [
            {
                "name": step.name, "state": step.state, "cached": step.state is State.CACHED,
                "seconds": step.seconds, "reason": step.reason, "result": dict(step.result),
                "artifacts": dict(step.outputs), "log": str(step.log),
            }
            for step in self.steps
        ]  # fmt: skip
        return {**asdict(replace(self, steps=())), "folder": str(self.folder), "steps": steps}


def run(
    settings: Settings, name: str, arguments: Mapping[str, Any], console: Console, *, use_cache: bool = True
) -> Outcome:
    """Run a pipeline on this machine, its tree on the console; the object store is started when it is down.

    Raises the named failures of `pipelines` before anything starts, and StepFailed.
    """
    pipeline = find(name)
    given = checked(pipeline, arguments)
    begun = time.time()
    moment = datetime.fromtimestamp(begun, UTC)
    run_id = f"{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    folder = settings.home / "runs" / run_id
    folder.mkdir(parents=True)
    outcome = Outcome(run_id, name, given, folder, f"{moment:%Y-%m-%dT%H:%M:%SZ}")
    _write(outcome)
    tree = Tree(f"{name}  {run_id}", folder, step_names(pipeline.pipeline_spec), log=folder / local.LOG)
    status = "failed"
    try:
        with stack.ensure_up(settings) as environment, shown(tree, console):
            local.run(pipeline, given, folder, environment if use_cache else {**environment, NO_CACHE: "1"})
        status = "succeeded"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        outcome = _finished(outcome, tree, status, time.time() - begun)
        with contextlib.suppress(*(() if status == "succeeded" else (RunFolderUnusable,))):
            _write(outcome)
    return outcome


def past(settings: Settings) -> list[dict[str, Any]]:
    """The records of all runs on this machine, the newest first; one that cannot be read is left out."""
    records: list[dict[str, Any]] = []
    for path in sorted(settings.home.glob(f"runs/*/{RECORD}"), reverse=True):
        with contextlib.suppress(OSError, ValueError):
            records.append(json.loads(path.read_text()))
    return records


def _finished(outcome: Outcome, tree: Tree, status: str, seconds: float) -> Outcome:
    tree.over = True
    steps = tuple(tree.steps())
    results = {step.name: step.result for step in steps}
    judged, published = results.get("evaluate", {}), results.get("publish", {})
    return replace(
        outcome,
        status=status,
        seconds=round(seconds, 2),
        steps=steps,
        model=published.get("digest") or results.get("train", {}).get("digest", ""),
        published="digest" in published,
        held_for=judged.get("reasons", ""),
        metrics=judged.get("metrics"),
    )


def _write(outcome: Outcome) -> None:
    part = outcome.folder / f".{RECORD}"
    try:
        part.write_text(json.dumps(outcome.document(), indent=1, ensure_ascii=False) + "\n")
        part.replace(outcome.folder / RECORD)
    except OSError as error:
        raise RunFolderUnusable(f"cannot write {outcome.folder / RECORD}: {error.strerror}; mend that") from error
