"""`rapt` inside the cluster: a pod with the gateway's rights that runs one command and is gone."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from secrets import token_hex
from typing import Any

from rapt.cluster.create import installed
from rapt.cluster.pods import closed_pod
from rapt.cluster.programs import Kubectl
from rapt.cluster.secrets import CA, STORE
from rapt.cluster.trouble import reasons
from rapt.errors import ClusterFailed

USER = "gateway"
START_S = 120.0
SETTINGS = {
    "HOME": "/tmp",  # noqa: S108 - the pod's own
    "RAPT_SERVING_ENDPOINT": "http://interest-transformer",
    "RAPT_S3_ENDPOINT": "http://object-store:8333",
    "RAPT_KAFKA_BOOTSTRAP": "rapt-kafka-bootstrap:9093",
    "RAPT_KAFKA_SECURITY": "SASL_SSL",
    "RAPT_KAFKA_USERNAME": USER,
    "RAPT_KAFKA_PASSWORD_FILE": "/etc/rapt/kafka/password",
    "RAPT_KAFKA_CA_FILE": "/etc/rapt/kafka/ca.crt",
}


def run_inside(cluster: Kubectl, arguments: Sequence[str]) -> int:
    """Run `rapt ARGUMENTS` in a pod, its output on ours; the command's exit code. Ctrl-C ends the command too.

    Raises ClusterFailed with the reasons when the pod does not begin.
    """
    name = f"rapt-run-{token_hex(4)}"
    cluster.apply(pod(name, arguments, *installed(cluster, "training")))
    try:
        _until_begun(cluster, name)
        # A group of its own: a terminal's Ctrl-C would end it before the command has told its summary.
        follow = subprocess.Popen([*cluster.command, "logs", "--follow", name], process_group=0)
        try:
            follow.wait()
        except KeyboardInterrupt:
            cluster("delete", "pod", name, "--wait=false")  # SIGTERM: it ends with its summary, as by Ctrl-C here
            follow.wait()
            return 130
        return _exit_code(cluster, name)
    finally:
        cluster("delete", "pod", name, "--ignore-not-found", "--wait=false")


def pod(
    name: str, arguments: Sequence[str], image: str, pull_secrets: Sequence[Mapping[str, str]] = ()
) -> dict[str, Any]:
    """The pod as an object for kubectl."""
    keys = [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": STORE, "key": key}}}
        for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    ]
    container = {
        "name": "rapt",
        "image": image,
        "command": ["python", "-m", "rapt"],
        "args": list(arguments),
        "env": [*({"name": key, "value": value} for key, value in SETTINGS.items()), *keys],
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        "volumeMounts": [
            {"name": "kafka", "mountPath": "/etc/rapt/kafka", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own
        ],
    }
    secrets = [
        {"secret": {"name": USER, "items": [{"key": "password", "path": "password"}]}},
        {"secret": {"name": CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    ]
    volumes = [
        {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "kafka", "projected": {"defaultMode": 0o440, "sources": secrets}},
    ]
    labels = {"app.kubernetes.io/name": "rapt-run", "app.kubernetes.io/component": USER}
    return closed_pod(name, labels, container, volumes, pull_secrets)


def _until_begun(cluster: Kubectl, name: str) -> None:
    give_up_at = time.monotonic() + START_S
    while cluster.get("pod", name)["status"].get("phase") not in {"Running", "Succeeded", "Failed"}:
        if time.monotonic() > give_up_at:
            why = "; ".join(reasons(cluster))
            raise ClusterFailed(f"pod {name} did not begin within {START_S:g} s: {why}")
        time.sleep(0.2)


def _exit_code(cluster: Kubectl, name: str) -> int:
    """Of the pod's container, which has ended or is about to."""
    cluster("wait", f"pod/{name}", "--for=jsonpath={.status.containerStatuses[0].state.terminated}",
            "--timeout=30s", deadline_s=40)  # fmt: skip
    (state,) = cluster.get("pod", name)["status"]["containerStatuses"]
    return int(state["state"]["terminated"]["exitCode"])
