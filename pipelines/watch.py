"""A run on a cluster followed to its end: states and times of its steps from the API, their words from their pods."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from google.protobuf import json_format  # type: ignore[import-untyped]
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

from components.journal import read_lines
from pipelines.compile import step_tasks
from pipelines.errors import ClusterUnreachable
from pipelines.pods import Pod, Pods
from pipelines.submit import Cluster

POLL_S = 5.0
PATIENCE_S = 300.0
"""Seconds that the API may be away while a run is followed."""
OVER = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}


@dataclass(frozen=True)
class Step:
    """A step of a run; `state` as Kubeflow says it, empty before it begins, `begun` in seconds since 1970.

    `lines` is its journal so far, `trouble` what its pod tells of why it waits or failed, `log` what it printed: both
    need kubectl.
    """

    name: str
    task: str
    state: str = ""
    begun: float = 0.0
    seconds: float = 0.0
    lines: tuple[Mapping[str, Any], ...] = ()
    trouble: str = ""
    log: Path | None = None


@dataclass(frozen=True)
class Progress:
    """A run as last seen; `stopped` when somebody ended it, which Kubeflow shows as FAILED.

    `artifacts` is the address that all its artifacts' begin with; without a pipeline root of its own, the part behind
    that of the cluster. `trouble` keeps all its steps from starting; `hindrance` is why no pod can be seen.
    """

    run_id: str
    name: str
    pipeline: str
    state: str
    seconds: float
    artifacts: str
    stopped: bool = False
    steps: tuple[Step, ...] = ()
    trouble: str = ""
    hindrance: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing changes any more."""
        return self.state in OVER

    @property
    def troubles(self) -> list[str]:
        """What keeps steps from going on, or from being seen, a line each."""
        running = [step for step in self.steps if step.state not in OVER]
        found = [f"{step.name}: {step.trouble}" for step in running if step.trouble]
        if self.trouble:
            found.append(f"the run cannot begin: {self.trouble}")
        if self.hindrance and any(step.state == "RUNNING" for step in running):
            found.append(f"progress and logs are not shown: {self.hindrance}")
        return found


class Watch:
    """Run `run_id` of `cluster`; what its steps print is kept in `folder`, a file `<step>.log` each."""

    def __init__(self, cluster: Cluster, run_id: str, folder: Path) -> None:
        """Raises ClusterRefused for a run that is not there, and ClusterUnreachable."""
        self.cluster, self.run_id, self.folder = cluster, run_id, folder
        self.pods = Pods(run_id, cluster.namespace)
        run = cluster.run(run_id)
        spec = json_format.ParseDict(cluster.spec(run), PipelineSpec(), ignore_unknown_fields=True)
        self.pipeline, self.tasks = spec.pipeline_info.name, step_tasks(spec)
        self._ended: dict[str, Step] = {}

    def follow(self, tell: Callable[[str], None]) -> Iterator[Progress]:
        """The run again and again until it is over; a short outage of the API is told and waited out.

        Raises ClusterUnreachable when the API stays away for PATIENCE_S, and ClusterRefused.
        """
        answered, away = time.monotonic(), False
        while True:
            try:
                seen = self.look()
            except ClusterUnreachable as error:
                if time.monotonic() - answered > PATIENCE_S:
                    raise
                if not away:
                    tell(f"{error}; waiting for it, up to {PATIENCE_S:g} s")
                away = True
            else:
                if away:
                    tell("Kubeflow Pipelines answers again")
                answered, away = time.monotonic(), False
                yield seen
                if seen.over:
                    return
            time.sleep(POLL_S)

    def look(self) -> Progress:
        """The run as it is now."""
        run = self.cluster.run(self.run_id)
        details = {one.display_name: one for one in (run.run_details and run.run_details.task_details) or ()}
        steps = [_step(name, task, details) for name, task in self.tasks.items()]
        pods = self.pods.find()
        told = tuple(self._told(step, pods) for step in steps)
        root = (run.runtime_config and run.runtime_config.pipeline_root) or ""
        begun, ended = _seconds(run.created_at), _seconds(run.finished_at)
        return Progress(
            run_id=self.run_id,
            name=run.display_name,
            pipeline=self.pipeline,
            state=run.state or "",
            seconds=max((ended or time.time()) - begun, 0.0),
            artifacts="/".join(part for part in (root.rstrip("/"), self.pipeline, self.run_id) if part),
            stopped=any("CANCEL" in (one.state or "") for one in (run, *(run.state_history or ()))),
            steps=told,
            trouble=self._hurdle(pods.get("root")),
            hindrance=self.pods.hindrance,
        )

    def _told(self, step: Step, pods: Mapping[str, Pod]) -> Step:
        """The step with what its pod tells; of one that has ended, asked once."""
        if step.name in self._ended:
            return self._ended[step.name]
        if pod := pods.get(step.task):
            text = self.pods.log(pod) if step.state else ""
            lines = tuple(line for line in read_lines(text) if line.get("step") == step.name and "event" in line)
            step = replace(step, lines=lines, trouble=pod.trouble or step.trouble, log=self._kept(step, text))
        if step.state == "FAILED" and not step.log:
            step = replace(
                step, log=self._kept(step, f"{self.pods.hindrance or 'no log'}; ask for it by: {self.pods.by_hand}\n")
            )
        if step.state in OVER:
            self._ended[step.name] = step
        return step

    def _hurdle(self, root: Pod | None) -> str:
        """Why the pod that begins the run failed; its last line says what is wrong with the cluster."""
        if not root or not root.trouble:
            return ""
        return ": ".join([root.trouble, *self.pods.log(root).splitlines()[-1:]])

    def _kept(self, step: Step, text: str) -> Path | None:
        if not text:
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / f"{step.name}.log"
        log.write_text(text)
        return log


def _step(name: str, task: str, details: Mapping[str, Any]) -> Step:
    """A step from the run's details, where an Argo node called as the task stands for it."""
    if found := details.get(task):
        begun, ended = _seconds(found.start_time), _seconds(found.end_time)
        return Step(name, task, found.state or "", begun, max((ended or time.time()) - begun, 0.0))
    if (driver := details.get(f"{task}-driver")) and driver.state == "FAILED":
        return Step(name, task, "FAILED", _seconds(driver.start_time), trouble="could not be prepared")
    return Step(name, task)


def _seconds(moment: datetime | None) -> float:
    """Since 1970; 0 for a moment that has not come, which Kubeflow writes as 1970 or as the year 1."""
    return max(moment.timestamp(), 0.0) if moment else 0.0
