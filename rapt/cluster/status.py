"""What runs on the cluster, what it takes beside what it may take, and what it says of itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rapt.cluster.programs import Kubectl
from rapt.errors import ClusterFailed

OURS = "app.kubernetes.io/part-of=rapt"
COMPONENT = "app.kubernetes.io/component"
TELLS = {"http1", "feeder", "feed", "labels", "experiments"}
"""Ports at which our processes answer /status."""
ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"
UNITS = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


@dataclass(frozen=True)
class Running:
    """A container: `cpu` in cores and `memory` in bytes, requested, allowed and (unless the kubelet hides it) used."""

    component: str
    pod: str
    container: str
    node: str
    ready: bool
    restarts: int
    uptime_s: float
    cpu_requested: float
    cpu_limit: float
    memory_requested: float
    memory_limit: float
    cpu: float | None = None
    memory: float | None = None
    details: dict[str, Any] = field(default_factory=dict)


def status(cluster: Kubectl) -> list[Running]:
    """Every container of ours in the namespace, by component and pod; raises ClusterFailed."""
    pods = cluster.get("pods", "-l", OURS).get("items", [])
    nodes = {one["spec"]["nodeName"] for one in pods if "nodeName" in one["spec"]}
    used = {found[:3]: found[3:] for node in nodes for found in _used(cluster, node)}
    with ThreadPoolExecutor(8) as side:
        asked = [(pod, container, side.submit(said, cluster, pod, container)) for pod, container in _containers(pods)]
        found = [_running(pod, one, told.result(), used) for pod, one, told in asked]
    return sorted(found, key=lambda one: (one.component, one.pod, one.container))


def said(cluster: Kubectl, pod: dict[str, Any], container: dict[str, Any]) -> dict[str, Any]:
    """What a container of ours tells at /status; empty for others, and for one that does not answer."""
    ports = [one["containerPort"] for one in container.get("ports", []) if one.get("name") in TELLS]
    if not ports or pod["status"].get("phase") != "Running":
        return {}
    where = ("exec", pod["metadata"]["name"], "-c", container["name"], "--")
    try:
        told = cluster(*where, "python", "-c", ASK, f"http://127.0.0.1:{ports[0]}/status", deadline_s=15)
        found: dict[str, Any] = json.loads(told)
    except (ClusterFailed, ValueError):
        return {}
    return found


def number(quantity: str) -> float:
    """A quantity as Kubernetes writes it: 250m, 1, 64Mi; 0 for none."""
    unit = quantity.lstrip("0123456789.")
    return float(quantity[: len(quantity) - len(unit)] or 0) * UNITS.get(unit, 1)


def _containers(pods: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    yield from ((pod, container) for pod in pods for container in pod["spec"]["containers"])


def _running(
    pod: dict[str, Any],
    container: dict[str, Any],
    told: dict[str, Any],
    used: dict[tuple[str, str, str], tuple[float, float]],
) -> Running:
    name, meta = container["name"], pod["metadata"]
    state: dict[str, Any] = next((one for one in pod["status"].get("containerStatuses", []) if one["name"] == name), {})
    began = state.get("state", {}).get("running", {}).get("startedAt", "")
    requested, limit = (container.get("resources", {}).get(part, {}) for part in ("requests", "limits"))
    cpu, memory = used.get((meta["namespace"], meta["name"], name), (None, None))
    return Running(
        component=meta["labels"].get(COMPONENT, "-"),
        pod=meta["name"],
        container=name,
        node=pod["spec"].get("nodeName", ""),
        ready=bool(state.get("ready")),
        restarts=int(state.get("restartCount", 0)),
        uptime_s=(datetime.now(UTC) - datetime.fromisoformat(began)).total_seconds() if began else 0.0,
        cpu_requested=number(requested.get("cpu", "0")),
        cpu_limit=number(limit.get("cpu", "0")),
        memory_requested=number(requested.get("memory", "0")),
        memory_limit=number(limit.get("memory", "0")),
        cpu=cpu,
        memory=memory,
        details=told,
    )


def _used(cluster: Kubectl, node: str) -> Iterator[tuple[str, str, str, float, float]]:
    """Namespace, pod, container, cores and bytes (working set) of all that runs on a node, by the kubelet's count."""
    try:
        told = json.loads(cluster("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))
    except ClusterFailed:  # not everybody may ask a node
        return
    for pod in told["pods"]:
        for one in pod.get("containers", []):
            cores = one.get("cpu", {}).get("usageNanoCores", 0) / 1e9
            taken = one.get("memory", {}).get("workingSetBytes", 0)
            yield pod["podRef"]["namespace"], pod["podRef"]["name"], one["name"], cores, taken
