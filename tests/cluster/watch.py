"""A real Prometheus in the cluster."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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


def watching(deployed: Deployed) -> Iterator[Watch]:
    """Installed; removed afterwards."""
    have_images(deployed.plan, [IMAGE])
    cluster = deployed.cluster.of(NAMESPACE)
    ports = "|".join(re.findall(r"port: (\w+), path", MONITOR.read_text(encoding="utf-8")))
    objects = list(yaml.safe_load_all(FILE.read_text(encoding="utf-8").replace("PORTS", ports)))
    rules = {"rules.yaml": RULES.read_text(encoding="utf-8")}
    try:
        cluster.apply(objects[0])
        cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "rules"}, "data": rules})
        cluster.apply(*objects[1:])
        cluster("rollout", "status", "deployment/prometheus", "--timeout=120s", deadline_s=130)
        yield Watch(deployed, time.time())
    finally:
        cluster("delete", "namespace", NAMESPACE, "--ignore-not-found", deadline_s=120)
        cluster("delete", "clusterrolebinding,clusterrole", "rapt-test-prometheus", "--ignore-not-found")
