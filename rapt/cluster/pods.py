"""Pods that a command starts for itself: closed as the namespace asks for, and not started again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def closed_pod(
    name: str,
    labels: Mapping[str, str],
    container: Mapping[str, Any],
    volumes: Sequence[Mapping[str, Any]],
    pull_secrets: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """A pod of one container as an object for kubectl, under the rules of the pod security level `restricted`."""
    security = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {**labels, "app.kubernetes.io/part-of": "rapt"}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "runAsGroup": 10001,
                "fsGroup": 10001,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{"imagePullPolicy": "IfNotPresent", **container, "securityContext": security}],
            "volumes": list(volumes),
            "imagePullSecrets": list(pull_secrets),
        },
    }
