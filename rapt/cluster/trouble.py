"""Why something on the cluster is not ready: from pods' states, events and last words."""

from __future__ import annotations

from typing import Any

from rapt.cluster.programs import Kubectl
from rapt.errors import ClusterFailed

LINES = 5
EVENTS = 5


def reasons(cluster: Kubectl) -> list[str]:
    """One line a pod that is not ready and one a recent warning; empty when all is well."""
    found = []
    for pod in cluster.items("pods"):
        if pod["status"].get("phase") == "Succeeded":
            continue
        name = pod["metadata"]["name"]
        conditions = {one["type"]: one for one in pod["status"].get("conditions", [])}
        scheduled = conditions.get("PodScheduled", {})
        if scheduled.get("status") == "False":
            found.append(f"pod {name} is not scheduled: {scheduled.get('message', '')}")
        status = pod["status"]
        for container in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])):
            if not container.get("ready") and (why := _why(cluster, name, container)):
                found.append(f"pod {name}, {container['name']}: {why}")
    warnings = [one for one in cluster.items("events") if one.get("type") == "Warning"]
    warnings.sort(key=lambda one: str(one.get("lastTimestamp") or one.get("eventTime") or ""))
    for one in warnings[-EVENTS:]:
        about = one["involvedObject"]
        found.append(f"{about['kind']} {about['name']}: {one.get('message', '')}")
    return found


def _why(cluster: Kubectl, pod: str, container: dict[str, Any]) -> str:
    state = container.get("state", {})
    if state.get("terminated", {}).get("exitCode") == 0:
        return ""
    waiting = state.get("waiting", {})
    told = f"{waiting.get('reason', '')} {waiting.get('message', '')}".strip()
    ended = state.get("terminated") or container.get("lastState", {}).get("terminated")
    if ended:
        told = f"{told} ended with {ended.get('exitCode')} {ended.get('reason', '')}".strip()
    words = _last_words(cluster, pod, container["name"])
    return f"{told or 'runs, and is not ready'}{f'; it said: {words}' if words else ''}"


def _last_words(cluster: Kubectl, pod: str, container: str) -> str:
    for more in (("--previous",), ()):
        try:
            text = cluster("logs", pod, "-c", container, f"--tail={LINES}", *more, deadline_s=10)
        except ClusterFailed:
            continue
        if text.strip():
            return " | ".join(text.strip().splitlines())
    return ""
