"""Why something on the cluster is not ready: from pods' states, events and last words."""

from __future__ import annotations

from typing import Any

from rapt.cluster.programs import Kubectl
from rapt.cluster.status import said
from rapt.errors import ClusterFailed

LINES = 5
EVENTS = 5
PARTS = {"PredictorReady", "TransformerReady", "ExplainerReady"}


def reasons(cluster: Kubectl) -> list[str]:
    """One line a container that is not ready, and one a recent warning of what is not well; empty when all is."""
    found: list[str] = []
    owners = [one for one in cluster.items("inferenceservices") if _waits(one)]
    owners += [one for one in cluster.items("statefulsets") if _lacks(one)]
    troubled = {one["metadata"]["name"] for one in owners}
    for pod in cluster.items("pods"):
        if pod["status"].get("phase") == "Succeeded":
            continue
        name, status, before = pod["metadata"]["name"], pod["status"], len(found)
        conditions = {one["type"]: one for one in status.get("conditions", [])}
        scheduled = conditions.get("PodScheduled", {})
        if scheduled.get("status") == "False":
            found.append(f"pod {name} is not scheduled: {scheduled.get('message', '')}")
        for container in _all(status, "initContainerStatuses", "containerStatuses"):
            if not container.get("ready") and (why := _why(cluster, pod, container)):
                found.append(f"pod {name}, {container['name']}: {why}")
        if len(found) > before:
            troubled.add(name)
    warnings = [one for one in cluster.items("events") if one.get("type") == "Warning" and _counts(one, troubled)]
    warnings.sort(key=lambda one: str(one.get("lastTimestamp") or one.get("eventTime") or ""))
    for one in warnings[-EVENTS:]:
        about = one["involvedObject"]
        found.append(f"{about['kind']} {about['name']}: {one.get('message', '')}")
    return found


def _counts(event: dict[str, Any], troubled: set[str]) -> bool:
    """Warnings outlive what they warn of, and some are of no account: where all is well by now they say nothing."""
    about = event["involvedObject"]
    return bool(troubled) and (about["kind"] not in {"Pod", "InferenceService"} or about["name"] in troubled)


def _waits(service: dict[str, Any]) -> bool:
    """Whether a part of an InferenceService is not known to be ready; its own `Ready` also asks for an ingress."""
    conditions = service.get("status", {}).get("conditions", [])
    return not {one["type"] for one in conditions if one["status"] == "True"} >= PARTS


def _lacks(owner: dict[str, Any]) -> bool:
    """Whether a StatefulSet has fewer ready pods than it wants."""
    ready: int = owner.get("status", {}).get("readyReplicas", 0)
    return ready < int(owner["spec"]["replicas"])


def _why(cluster: Kubectl, pod: dict[str, Any], container: dict[str, Any]) -> str:
    state = container.get("state", {})
    if state.get("terminated", {}).get("exitCode") == 0:
        return ""
    waiting = state.get("waiting", {})
    told = f"{waiting.get('reason', '')} {waiting.get('message', '')}".strip()
    ended = state.get("terminated") or container.get("lastState", {}).get("terminated")
    if ended:
        told = f"{told} ended with {ended.get('exitCode')} {ended.get('reason', '')}".strip()
    (spec,) = [one for one in _all(pod["spec"], "initContainers", "containers") if one["name"] == container["name"]]
    if waits_for := said(cluster, pod, spec).get("waits_for"):
        return f"{told or 'runs'}, and waits for {waits_for}"
    words = _last_words(cluster, pod["metadata"]["name"], container["name"])
    return f"{told or 'runs, and is not ready'}{f'; it said: {words}' if words else ''}"


def _all(tree: dict[str, Any], *keys: str) -> list[dict[str, Any]]:
    return [one for key in keys for one in tree.get(key, [])]


def _last_words(cluster: Kubectl, pod: str, container: str) -> str:
    for more in (("--previous",), ()):
        try:
            text = cluster("logs", pod, "-c", container, f"--tail={LINES}", *more, deadline_s=10)
        except ClusterFailed:
            continue
        if text.strip():
            return " | ".join(text.strip().splitlines())
    return ""
