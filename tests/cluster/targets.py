"""Keeps a file of what Prometheus reads, since Debian's cannot ask Kubernetes: the named ports of all pods of Rapt.

    targets.py FILE PORT_NAME ...

Runs in a container beside it, with a ServiceAccount that may list pods.
"""

import json
import ssl
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PODS = "https://kubernetes.default.svc/api/v1/namespaces/rapt/pods?labelSelector=app.kubernetes.io/name=rapt"
EVERY_S = 1.0


def main() -> None:
    """Write the file anew, whole, until SIGTERM."""
    file, names = Path(sys.argv[1]), set(sys.argv[2:])
    trusted = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    while True:
        asked = urllib.request.Request(PODS, headers={"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"})
        try:
            with urllib.request.urlopen(asked, context=trusted, timeout=10) as answer:  # noqa: S310 - https
                found = json.load(answer)["items"]
        except OSError as error:
            print(f"pods cannot be listed: {error}", flush=True)
        else:
            part = file.with_suffix(".part")
            part.write_text(json.dumps([target for pod in found for target in of_pod(pod, names)]))
            part.rename(file)
        time.sleep(EVERY_S)


def of_pod(pod: dict[str, Any], names: set[str]) -> list[dict[str, Any]]:
    """Its ports of these names, each with the labels that a PodMonitor would give."""
    about, address = pod["metadata"], pod["status"].get("podIP")
    labels = {
        "namespace": about["namespace"],
        "pod": about["name"],
        "job": about["labels"].get("app.kubernetes.io/component", ""),
    }
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports", [])]
    return [
        {"targets": [f"{address}:{port['containerPort']}"], "labels": labels}
        for port in ports
        if address and port.get("name") in names
    ]


if __name__ == "__main__":
    main()
