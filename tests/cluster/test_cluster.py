"""Rapt on a real cluster: installed with standard tools, served by the real KServe controller, fed by a real Kafka."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from interest.bundle import Bundle
from rapt.cluster.create import CHART, IMAGES, MANIFESTS, version
from rapt.cluster.programs import run
from rapt.errors import ClusterFailed
from tests.cluster.deployed import Deployed

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]
LIMIT_MB = 600


def test_the_serving_image_is_small_without_torch_and_not_root(deployed: Deployed) -> None:
    found = json.loads(run(["docker", "image", "inspect", IMAGES["serving"]], deadline_s=30))[0]
    print(f"{IMAGES['serving']}: {found['Size'] / 1e6:.0f} MB")
    assert found["Size"] < LIMIT_MB * 1e6
    assert found["Config"]["User"] == "10001:10001"
    assert found["Config"]["Labels"]["org.opencontainers.image.licenses"] == "MIT"
    inside = "import importlib.util, json, shutil; print(json.dumps([importlib.util.find_spec('torch') is None, \
shutil.which('gcc') is None, len(json.load(open('/opt/rapt/sbom.cdx.json'))['components'])]))"
    command = ["docker", "run", "--rm", "--read-only", "--entrypoint", "python", IMAGES["serving"], "-c", inside]
    no_torch, no_compiler, listed = json.loads(run(command, deadline_s=60))
    assert no_torch
    assert no_compiler
    assert listed > 50


def test_manifests_and_chart_are_taken_without_a_warning(deployed: Deployed) -> None:
    """By the API server and KServe's webhook, with every set of values; nothing of it is kept."""
    cluster, dry = deployed.cluster, ("--dry-run=server", "--warnings-as-errors")
    cluster("apply", "-k", str(MANIFESTS / "overlays" / deployed.plan.overlay), *dry)
    for values in sorted((CHART / "ci").glob("*.yaml")):
        text = cluster.helm("template", "rapt", str(CHART), "--kube-version", version(cluster), "-f", str(values))
        known = [one for one in text.split("\n---\n") if "apiVersion: monitoring.coreos.com" not in one]  # no CRD here
        said = cluster("apply", "-f", "-", *dry, given="\n---\n".join(known))
        assert "inferenceservice.serving.kserve.io/interest" in said, values.name


def test_a_prediction_an_explanation_and_an_event_through_the_clusters_services(
    served: Deployed, bundle: Bundle
) -> None:
    asked = {"instances": [{"user_id": "somebody", "video_ids": ["sim-00001", "sim-00002"]}]}
    served.until(lambda: bool(served.ask(asked)), "an answer")
    (answer,) = served.ask(asked)["predictions"]
    assert answer["model_digest"] == bundle.digest
    later_ms = time.time_ns() // 1_000_000 + 600_000
    before = served.predict("somebody", "sim-00001", "sim-00002", now_ms=later_ms)
    served.rapt("events", "send", "--user", "somebody", "--video", "sim-00002", "--kind", "watch", "--watch-ms", "9000")

    def counts() -> bool:
        return served.predict("somebody", "sim-00001", "sim-00002", now_ms=later_ms) != before

    served.until(counts, "the event counts", 30)
    explained = served.ask(asked, "explain")
    assert explained["explanations"][0]["user_id"] == "somebody"


def test_v2_by_grpc_through_the_service(served: Deployed, bundle: Bundle) -> None:
    program = """
import grpc, numpy as np
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from inference import protocol
def text(*words):
    made = np.empty(len(words), object)
    made[:] = [word.encode() for word in words]
    return made
with grpc.insecure_channel("interest-transformer:8081") as channel:
    asked = protocol.request("interest", {"user_id": text("somebody"), "video_id": text("sim-00001", "nothing")})
    made = protocol.from_response(GRPCInferenceServiceStub(channel).ModelInfer(asked, timeout=10))
print(made.parameters["model_digest"], made.tensors["known"].tolist(), len(made.tensors["probability"]))
"""
    said = served.cluster("exec", "gateway", "--", "python", "-c", program).split(maxsplit=1)
    assert said == [bundle.digest, "[True, False] 2\n"]


def test_every_connection_to_kafka_has_its_own_rights(served: Deployed) -> None:
    program = (
        "from wire.kafka import *; c = consumer(KafkaSettings.from_env(), {('exposures', 0): EARLIEST}); "
        "print(len(c.poll(1, 5)))"
    )
    with pytest.raises(ClusterFailed, match=r"exposures"):
        served.cluster("exec", "gateway", "--", "python", "-c", program)


def test_a_killed_predictor_comes_back_and_answers_stay_right(served: Deployed) -> None:
    now_ms = time.time_ns() // 1_000_000
    before = served.predict("somebody", "sim-00001", now_ms=now_ms)
    (pod,) = [one["metadata"]["name"] for one in served.cluster.get("pods", "-l", "component=predictor")["items"]]
    served.cluster("delete", "pod", pod, "--grace-period=0", "--force")

    def same() -> bool:
        gone = not served.cluster.get("pod", pod)
        return gone and served.predict("somebody", "sim-00001", now_ms=now_ms) == before

    served.until(same, "the same answer from another pod")


def test_doctor_finds_nothing_and_names_what_is_wrong(served: Deployed) -> None:
    context = served.cluster.context
    container = {
        "name": "broken", "image": "rapt/not-there:1", "imagePullPolicy": "Never",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }  # fmt: skip
    security = {"runAsNonRoot": True, "runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"securityContext": security, "containers": [container]}

    def doctor() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "rapt", "cluster", "doctor", "--context", context]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def named() -> bool:
        told = doctor()
        return told.returncode == 3 and "rapt/not-there:1" in told.stdout

    served.until(lambda: doctor().returncode == 0, "all is well", 120)

    served.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "broken"}, "spec": spec})
    try:
        served.until(named, "the image that is not there is named", 60)
    finally:
        served.cluster("delete", "pod", "broken", "--grace-period=0", "--force")
