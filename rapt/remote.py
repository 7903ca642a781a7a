"""A run on a cluster as the command shows it: the tree of a run here, fed by Kubeflow Pipelines."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, replace

from rich.console import Console

from pipelines import watch as remote
from pipelines.errors import RunFailed
from pipelines.submit import Cluster
from pipelines.watch import Watch
from rapt import settings
from rapt.output import note, print_json
from rapt.tree import State, Step, Tree, read_step, shown

LOG_LINES = 20
STATES = {
    "PENDING": State.WAITING, "PAUSED": State.WAITING, "RUNNING": State.RUNNING, "CANCELING": State.RUNNING,
    "SUCCEEDED": State.DONE, "SKIPPED": State.SKIPPED, "FAILED": State.FAILED, "CANCELED": State.FAILED,
}  # fmt: skip


def follow(cluster: Cluster, run_id: str, *, json: bool) -> None:
    """Show a run until it is over and tell what came of it; raises RunFailed unless it succeeded."""
    watch = Watch(cluster, run_id, settings.load().home / "runs" / run_id)
    tree = RemoteTree(f"{watch.pipeline}  {watch.run_id}", watch.folder, tuple(watch.tasks), log=watch.folder)
    told: set[str] = set()
    try:
        with shown(tree, Console(stderr=json)):
            for seen in watch.follow(note):
                tree.seen, tree.begun = seen, time.time() - seen.seconds
                for trouble in [text for text in seen.troubles if text not in told]:
                    note(trouble)
                    told.add(trouble)
    except KeyboardInterrupt:
        note(f"run {run_id} goes on; follow it: rapt pipeline watch {run_id}, stop it: rapt pipeline stop {run_id}")
        raise
    steps = tree.steps()
    if json:
        shown_steps = [
            {
                "name": step.name, "state": step.state, "cached": step.state is State.CACHED,
                "seconds": round(step.seconds, 1), "reason": step.reason, "result": dict(step.result), "log": step.log,
            }
            for step in steps
        ]  # fmt: skip
        run = {key: value for key, value in asdict(seen).items() if key != "steps"}
        print_json({**run, "endpoint": cluster.endpoint, "steps": shown_steps})
    note(f"artifacts: {seen.artifacts}" if "://" in seen.artifacts else
         f"artifacts: {seen.artifacts} under the cluster's pipeline root")  # fmt: skip
    if seen.state == "SUCCEEDED":
        return
    if seen.stopped:
        raise RunFailed(f"run {run_id} was stopped")
    for step in steps:
        if step.state is State.FAILED and step.log:
            note(f"the end of {step.log}:\n" + "\n".join(step.log.read_text().splitlines()[-LOG_LINES:]))
            raise RunFailed(f"{step.name}: {step.reason} (log: {step.log})")
    raise RunFailed(f"run {run_id} is {seen.state} though no step failed: {seen.trouble or watch.pods.by_hand}")


class RemoteTree(Tree):
    """The tree of a run on a cluster, drawn as that of a run here; `seen` is what it shows."""

    seen: remote.Progress | None = None

    def steps(self) -> list[Step]:
        if self.seen is None:
            return [Step(name) for name in self.names]
        found = sorted(map(self._step, self.seen.steps), key=lambda step: step.begun)
        if not self.seen.over:
            return found
        held = next((step.result["reasons"] for step in found if step.result.get("verdict") == "hold"), None)
        failed = next((step.name for step in found if step.state is State.FAILED), None)
        return [self._ended(step, held, failed) for step in found]

    def _step(self, one: remote.Step) -> Step:
        """What the API says of a step, and what its journal adds."""
        journal = read_step(one.name, [{"event": "started", "ts": one.begun}, *one.lines], time.time())
        state = STATES.get(one.state, State.WAITING)
        reason = (journal.reason or one.trouble or "failed") if state is State.FAILED else ""
        if state is State.DONE and journal.state is State.CACHED:
            state = State.CACHED
        if state is State.SKIPPED:
            reason = "its condition was not met"
        took = max(time.time() - one.begun, 0.0) if state is State.RUNNING else one.seconds
        return replace(journal, state=state, begun=one.begun or math.inf, seconds=took, reason=reason, log=one.log)
