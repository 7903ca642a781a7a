"""The pods of a run on a cluster, through kubectl: why a step does not start or failed, and what it printed.

Kubeflow's API tells neither: a task's detail has no error, and logs are asked for by a pod's name, which it hides.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NAMESPACE = "kubeflow"
NODE = "workflows.argoproj.io/node-name"
STARTING = {"ContainerCreating", "PodInitializing"}
DEADLINE_S = 20.0
LINES = 10_000


@dataclass(frozen=True)
class Pod:
    """A task's newest pod; `trouble` is why it does not run or how it ended, empty when all is well."""

    name: str
    trouble: str


class Pods:
    """Those of run `run_id` in `namespace`, of the cluster that kubectl is set to.

    `hindrance` says why none can be seen: no kubectl, no access, another cluster.
    """

    def __init__(self, run_id: str, namespace: str = "") -> None:
        self._namespace, self._label = namespace or NAMESPACE, f"pipeline/runid={run_id}"
        self.hindrance = ""

    @property
    def by_hand(self) -> str:
        """The command that shows what the run's pods print."""
        return f"kubectl -n {self._namespace} logs -l {self._label} -c main --prefix --tail=100"

    def find(self) -> dict[str, Pod]:
        """The newest pod of each task, by the task's name."""
        text, self.hindrance = self._kubectl("get", "pods", "-l", self._label, "-o", "json")
        items = json.loads(text)["items"] if text else []
        if text and not items:
            self.hindrance = f"kubectl sees no pod labelled {self._label} in {self._namespace}"
        items.sort(key=lambda one: one["metadata"]["creationTimestamp"])
        return {task: Pod(one["metadata"]["name"], _trouble(one["status"])) for one in items if (task := _task(one))}

    def log(self, pod: Pod) -> str:
        """The last lines that a pod's step printed; empty when it printed none, or they are gone."""
        text, _ = self._kubectl("logs", pod.name, "-c", "main", f"--tail={LINES}")
        return text

    def _kubectl(self, *arguments: str) -> tuple[str, str]:
        """What kubectl prints, and why it prints nothing."""
        command = ["kubectl", "--namespace", self._namespace, "--request-timeout=10s", *arguments]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_S, check=False
            )
        except FileNotFoundError:
            return "", "kubectl is not on PATH"
        except subprocess.TimeoutExpired:
            return "", f"kubectl does not end within {DEADLINE_S:g} s"
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            return "", said[-1] if said else f"kubectl ends with {done.returncode}"
        return done.stdout.decode(errors="replace"), ""


def _task(pod: Mapping[str, Any]) -> str:
    """The task that a pod belongs to: Argo names its node `workflow.root.<task>.executor(<attempt>)`.

    A pod that only prepares a task (`<task>-driver`) speaks for it until there is another.
    """
    *above, last = pod["metadata"].get("annotations", {}).get(NODE, "").split(".")
    if last.partition("(")[0] == "executor" and above:
        return str(above[-1])
    return str(last.removesuffix("-driver"))


def _trouble(status: Mapping[str, Any]) -> str:
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"not scheduled: {condition.get('message', '')}"
    if status.get("reason"):
        return f"{status['reason']}: {status.get('message', '')}"
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        waiting, ended = (container.get("state", {}).get(state, {}) for state in ("waiting", "terminated"))
        if waiting and waiting.get("reason") not in STARTING:
            return f"{waiting.get('reason')}: {waiting.get('message', '')}"
        if ended.get("exitCode"):
            return f"{ended.get('reason', 'Error')}, exit code {ended['exitCode']}"
    return ""
