"""Who reaches whom: every pair of pods and ports is tried, and only what is meant to gets through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rapt.cluster.create import IMAGES, have_chart
from rapt.cluster.programs import Kubectl
from tests.cluster.deployed import Deployed

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]

PORTS = {
    "transformer": (8080, 8081, 8086),
    "predictor": (8080, 8081),
    "explainer": (8080, 8081),
    "catalogue-feed": (8087,),
    "labels": (8090,),
    "experiments": (8091,),
    "reports": (8093,),
    "evidently": (8095,),
    "dashboard": (8094,),
    "kafka": (9093,),
    "object-store": (8333, 9333),
    "listener": (80,),
}
"""What listens where; SeaweedFS's master at 9333 is for itself, `listener` is a pod of another namespace."""
DATA = {("kafka", 9093), ("object-store", 8333)}
ENDPOINT = {("transformer", 8080), ("transformer", 8081)}
ALLOWED = {
    "transformer": DATA | {(part, port) for part in ("predictor", "explainer") for port in (8080, 8081)},
    "predictor": DATA,
    "explainer": DATA,
    "catalogue-feed": DATA,
    "labels": DATA,
    "experiments": DATA | {("predictor", 8080)},
    "reports": {("object-store", 8333)},
    "evidently": {("object-store", 8333)},
    "dashboard": DATA | {("transformer", 8080)},
    "kafka": set[tuple[str, int]](),
    "gateway": DATA | ENDPOINT,
    "stranger": {("listener", 80)},
    "scraper": {("listener", 80)},
}
METRICS = {
    ("transformer", 8080),
    ("transformer", 8086),
    ("predictor", 8080),
    ("explainer", 8080),
    ("catalogue-feed", 8087),
    ("labels", 8090),
    ("experiments", 8091),
    ("reports", 8093),
}
TRY = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def open(target):
    try: socket.create_connection((target[0], target[1]), 2).close(); return True
    except OSError: return False
targets = json.loads(sys.argv[1])
with ThreadPoolExecutor(len(targets)) as side: print(json.dumps(list(side.map(open, targets))))
"""
LISTEN = "import http.server; http.server.HTTPServer(('', 80), http.server.BaseHTTPRequestHandler).serve_forever()"
WAIT = "import signal; signal.sigwait({signal.SIGTERM})"
CONTAINERS = {"transformer": "kserve-container", "kafka": "setup"}


def pod(name: str, program: str) -> dict[str, Any]:
    """A pod of nobody's, in a namespace without policies."""
    container = {
        "name": "main",
        "image": IMAGES["serving"],
        "imagePullPolicy": "Never",
        "command": ["python", "-c", program],
    }
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container], "securityContext": {"runAsUser": 0}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def strangers(served: Deployed) -> Iterator[dict[str, Kubectl]]:
    """Two other namespaces, a pod that asks in each, in the first also one that listens."""
    found = {name: served.cluster.of(name) for name in ("stranger", "scraper")}
    try:
        for name, cluster in found.items():
            served.cluster("create", "namespace", name)
            cluster.apply(pod(name, WAIT), *([pod("listener", LISTEN)] if name == "stranger" else []))
        for cluster in found.values():
            cluster("wait", "pods", "--all", "--for=condition=Ready", "--timeout=120s", deadline_s=130)
        yield found
    finally:
        served.cluster("delete", "namespace", *found, "--ignore-not-found", deadline_s=120)


class Net:
    """All pods by component, and which of the others' ports each reaches."""

    def __init__(self, served: Deployed, strangers: dict[str, Kubectl]) -> None:
        found = [(served.cluster, one) for one in served.cluster.items("pods")]
        found += [(cluster, one) for cluster in strangers.values() for one in cluster.items("pods")]
        self.pods: dict[str, tuple[Kubectl, str, str]] = {}
        for cluster, one in found:
            name = one["metadata"].get("labels", {}).get("app.kubernetes.io/component", one["metadata"]["name"])
            if "deletionTimestamp" not in one["metadata"]:
                self.pods[name] = cluster, one["metadata"]["name"], one["status"]["podIP"]

    def reached(self, component: str) -> set[tuple[str, int]]:
        """Of all pods' ports but its own."""
        cluster, name, _ = self.pods[component]
        ends = [(other, port) for other, ports in PORTS.items() for port in ports if other != component]
        targets = json.dumps([(self.pods[other][2], port) for other, port in ends])
        container = ("-c", CONTAINERS[component]) if component in CONTAINERS else ()
        answers = json.loads(cluster("exec", name, *container, "--", "python", "-c", TRY, targets))
        return {end for end, answer in zip(ends, answers, strict=True) if answer}

    def all_reached(self) -> dict[str, set[tuple[str, int]]]:
        """By each component that can be asked to try."""
        with ThreadPoolExecutor(len(ALLOWED)) as side:
            return dict(zip(ALLOWED, side.map(self.reached, ALLOWED), strict=True))


def test_every_pod_reaches_what_it_needs_and_nothing_else(served: Deployed, strangers: dict[str, Kubectl]) -> None:
    net = Net(served, strangers)
    assert {*PORTS, *ALLOWED} <= net.pods.keys()
    found: dict[str, set[tuple[str, int]]] = {}

    def as_meant() -> bool:  # a new pod's address is known on other nodes a moment later
        found.update(net.all_reached())
        return found == ALLOWED

    served.until(as_meant, lambda: f"{ {n: (found[n] - ALLOWED[n], ALLOWED[n] - found[n]) for n in ALLOWED} }", 60)
    print(f"{sum(len(PORTS) for _ in ALLOWED)} ways tried, {sum(map(len, ALLOWED.values()))} open")


def test_who_is_named_in_the_values_is_let_in_where_they_say(
    served: Deployed, strangers: dict[str, Kubectl], tmp_path: Path
) -> None:
    def by_name(name: str) -> str:
        return f"[{{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}}}]"

    values = tmp_path / "values.yaml"
    values.write_text(
        f"networkPolicy: {{callers: {by_name('stranger')}, predictorCallers: {by_name('stranger')}, "
        f"scrapers: {by_name('scraper')}}}"
    )
    net = Net(served, strangers)
    wanted = ALLOWED | {
        "stranger": ALLOWED["stranger"] | ENDPOINT | {("predictor", 8081)},
        "scraper": ALLOWED["scraper"] | METRICS,
        "gateway": ALLOWED["gateway"] - ENDPOINT,
    }
    found: dict[str, set[tuple[str, int]]] = {}

    def as_meant() -> bool:
        found.update(net.all_reached())
        return found == wanted

    have_chart(replace(served.plan, values=(values,)))
    try:
        served.until(as_meant, lambda: f"{ {n: (found[n] - wanted[n], wanted[n] - found[n]) for n in wanted} }", 60)
    finally:
        have_chart(served.plan)


def test_a_stranger_without_keys_reads_no_topic_and_no_bundle(served: Deployed, strangers: dict[str, Kubectl]) -> None:
    """Even where the network lets it: from a pod with a gateway's labels, and no Secret."""
    program = """
import sys
from wire.kafka import Admin, KafkaSettings
from wire.objects import ObjectStore
from wire.errors import WireError
keys = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}
place = {"RAPT_S3_ENDPOINT": "http://object-store:8333", "RAPT_S3_BUCKET": "rapt", "RAPT_S3_DEADLINE_S": "1"}
for what, ask in {
    "topics": lambda: Admin(KafkaSettings("rapt-kafka-bootstrap:9093")).topics(),
    "bundles": lambda: ObjectStore.from_env(keys | place).get_bytes("models/latest.json"),
}.items():
    try: ask(); sys.exit(f"{what} were read")
    except WireError as error: print(what, type(error).__name__)
"""
    thief = pod("thief", program)
    thief["metadata"]["labels"] = {"app.kubernetes.io/component": "gateway", "app.kubernetes.io/part-of": "rapt"}
    secure = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    thief["spec"] |= {"restartPolicy": "Never", "securityContext": {"runAsNonRoot": True, "runAsUser": 10001,
                      "seccompProfile": {"type": "RuntimeDefault"}}}  # fmt: skip
    thief["spec"]["containers"][0]["securityContext"] = secure
    served.cluster.apply(thief)
    try:
        phase = "--for=jsonpath={.status.phase}=Succeeded"
        served.cluster("wait", "pod/thief", phase, "--timeout=90s", deadline_s=100)
        said = served.cluster("logs", "thief").splitlines()
    finally:
        served.cluster("delete", "pod", "thief", "--grace-period=0", "--force")
    assert [line.split()[0] for line in said] == ["topics", "bundles"], said
    print(said)
