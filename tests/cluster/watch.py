"""A real Prometheus in the cluster."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rapt.cluster.create import forwarded, have_images
from tests.cluster.deployed import Deployed
from tests.monitoring.prometheus import Prometheus

FILE = Path(__file__).with_name("prometheus.yaml")
NAMESPACE, PORT = "watch", 9090
IMAGE = "prom/prometheus:v2.42.0"
PEER = f"namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {NAMESPACE}}}}}"
WATCHED = f"networkPolicy: {{scrapers: [{{{PEER}}}]}}\n"
"""The chart's values with which it is let in."""
RULES = Path(__file__).parents[2] / "monitoring" / "alerts" / "rules.yaml"
MONITOR = Path(__file__).parents[2] / "charts" / "rapt" / "templates" / "podmonitor.yaml"


@dataclass(frozen=True)
class Watch:
    """The Prometheus, and since when it watches (Unix seconds)."""

    deployed: Deployed
    begin_s: float

    @contextmanager
    def asked(self) -> Iterator[Prometheus]:
        """Inside, it is reached."""
        with forwarded(self.deployed.cluster.of(NAMESPACE), "service/prometheus", PORT) as port:
            yield Prometheus(f"http://127.0.0.1:{port}")


def configuration(nodes: Sequence[str]) -> dict[str, Any]:
    """Pods as `targets.py` finds them, and each node's kubelet through the API server."""
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    through = {
        "scheme": "https",
        "scrape_interval": "10s",
        "tls_config": {"ca_file": f"{account}/ca.crt"},
        "authorization": {"credentials_file": f"{account}/token"},
        "static_configs": [{"targets": ["kubernetes.default.svc:443"]}],
    }
    kubelets = [
        {"job_name": f"{node}{path}", "metrics_path": f"/api/v1/nodes/{node}/proxy{path}", **through}
        for node in nodes
        for path in ("/metrics", "/metrics/cadvisor")
    ]
    pods = {"job_name": "pods", "file_sd_configs": [{"files": ["/targets/pods.json"], "refresh_interval": "2s"}]}
    return {
        "global": {"scrape_interval": "2s", "evaluation_interval": "5s"},
        "rule_files": ["/etc/prometheus/rules.yaml"],
        "scrape_configs": [pods, *kubelets],
    }


def watching(deployed: Deployed) -> Iterator[Watch]:
    """Installed; removed afterwards."""
    have_images(deployed.plan, [IMAGE])
    cluster = deployed.cluster.of(NAMESPACE)
    namespace, *others = yaml.safe_load_all(FILE.read_text(encoding="utf-8"))
    (deployment,) = (one for one in others if one["kind"] == "Deployment")
    finder = deployment["spec"]["template"]["spec"]["containers"][1]
    finder["command"] += re.findall(r"port: (\w+), path", MONITOR.read_text(encoding="utf-8"))
    nodes = [one["metadata"]["name"] for one in deployed.cluster.items("nodes")]
    files = {
        "prometheus.yml": yaml.safe_dump(configuration(nodes)),
        "rules.yaml": RULES.read_text(encoding="utf-8"),
        "targets.py": FILE.with_name("targets.py").read_text(encoding="utf-8"),
    }
    try:
        cluster.apply(namespace)
        cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "prometheus"}, "data": files})
        cluster.apply(*others)
        cluster("rollout", "status", "deployment/prometheus", "--timeout=120s", deadline_s=130)
        yield Watch(deployed, time.time())
    finally:
        cluster("delete", "namespace", NAMESPACE, "--ignore-not-found", deadline_s=120)
        cluster("delete", "clusterrolebinding,clusterrole", "rapt-test-prometheus", "--ignore-not-found")
