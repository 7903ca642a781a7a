"""A Kubernetes API that has nothing but pods of pipelines, for the real kubectl to ask."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.pipelines.kubeflow import serving

VERBS = ["get", "list"]
RESOURCES = [
    {"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": VERBS},
    {"name": "pods/log", "singularName": "", "namespaced": True, "kind": "Pod", "verbs": ["get"]},
]
SETTLED: dict[str, Any] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": RESOURCES},
}
SUCCEEDED = {"phase": "Succeeded", "containerStatuses": [{"name": "main", "state": {"terminated": {"exitCode": 0}}}]}
RUNNING = {"phase": "Running", "containerStatuses": [{"name": "main", "state": {"running": {}}}]}


@dataclass(frozen=True)
class Pod:
    """A pod as Argo makes it for `node` of a run, with what its container `main` printed."""

    run_id: str
    node: str
    status: dict[str, Any]
    printed: str = ""
    made: str = "2026-11-24T01:02:03Z"

    @property
    def name(self) -> str:
        return "training-x7f2k-" + self.node.replace(".", "-").replace("(", "-").replace(")", "")

    def document(self) -> dict[str, Any]:
        """As Kubernetes describes it."""
        metadata = {
            "name": self.name,
            "namespace": "kubeflow",
            "creationTimestamp": self.made,
            "labels": {"pipeline/runid": self.run_id},
            "annotations": {"workflows.argoproj.io/node-name": f"training-x7f2k.{self.node}"},
        }
        spec = {"containers": [{"name": "wait"}, {"name": "main"}]}
        return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": self.status}


def failed(code: int, reason: str = "Error") -> dict[str, Any]:
    """The status of a pod whose step ended with `code`."""
    ended = {"terminated": {"exitCode": code, "reason": reason}}
    return {"phase": "Failed", "containerStatuses": [{"name": "main", "state": ended}]}


def waiting(reason: str, message: str) -> dict[str, Any]:
    """The status of a pod that cannot start."""
    held = {"waiting": {"reason": reason, "message": message}}
    return {"phase": "Pending", "containerStatuses": [{"name": "main", "state": held}]}


class Handler(BaseHTTPRequestHandler):
    """HTTP around `pods`, those of the namespace kubeflow."""

    pods: list[Pod]

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(address.query).items()}
        under = "/api/v1/namespaces/kubeflow/pods"
        logs = {f"{under}/{pod.name}/log": pod.printed for pod in self.pods}
        one = {f"{under}/{pod.name}": pod.document() for pod in self.pods}
        if address.path in logs and query.get("container") == "main":
            self._send(200, logs[address.path].encode(), "text/plain")
        elif address.path == under:
            label, _, value = query.get("labelSelector", "").partition("=")
            found = [pod.document() for pod in self.pods]
            found = [pod for pod in found if pod["metadata"]["labels"].get(label) == value]
            self._send(200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": found})
        elif address.path in SETTLED | one:
            self._send(200, (SETTLED | one)[address.path])
        else:
            message = f"the server could not find {address.path}"
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "message": message}
            self._send(404, status)

    def _send(self, status: int, content: Any, kind: str = "application/json") -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def running(folder: Path) -> Iterator[tuple[Path, list[Pod]]]:
    """A kubeconfig that leads kubectl to an empty cluster, and the pods that it shows."""
    pods: list[Pod] = []
    with serving(type("Mine", (Handler,), {"pods": pods})) as server:
        config = folder / "kubeconfig"
        cluster = {"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        context = {"name": "here", "context": {"cluster": "here", "user": ""}}
        document = {"kind": "Config", "apiVersion": "v1", "clusters": [cluster], "contexts": [context]}
        config.write_text(yaml.safe_dump({**document, "current-context": "here"}))
        yield config, pods
