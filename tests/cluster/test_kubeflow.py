"""A step of a pipeline on the cluster, in a pod like those of Kubeflow Pipelines, whose backend is not here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from pipelines.compile import compiled, find
from pipelines.spec import Spec
from rapt.cluster.create import IMAGES, MANIFESTS
from rapt.cluster.models import object_store
from rapt.cluster.programs import Kubectl
from rapt.cluster.secrets import copy_store_keys
from rapt.errors import ClusterFailed
from tests.cluster.deployed import Deployed

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]
OURS = {"pipelines.kubeflow.org/v2_component": "true"}


@pytest.fixture(scope="module")
def kubeflow(served: Deployed) -> Iterator[Kubectl]:
    """The namespace of Kubeflow Pipelines with what `rapt cluster create --kubeflow` adds to it."""
    cluster = served.cluster.of("kubeflow")
    served.cluster("create", "namespace", "kubeflow")
    try:
        copy_store_keys(served.cluster, "kubeflow")
        said = cluster.of("")("apply", "-k", str(MANIFESTS / "parts" / "kubeflow"))
        assert "kfp-launcher created" in said
        yield cluster
    finally:
        served.cluster("delete", "namespace", "kubeflow", deadline_s=120)
        served.cluster("delete", "networkpolicy", "object-store-from-kubeflow")


def step(name: str, parameters: dict[str, Any], outputs: dict[str, str], root: str) -> dict[str, Any]:
    """The pod of a compiled component: image, command and variables as compiled, inputs as the launcher gives them."""
    spec = Spec.read(yaml.safe_load_all(compiled(find("training"), IMAGES["training"])))
    executor = f"exec-{name}"
    container = dict(spec.containers())[executor]
    platform = spec.platform["deploymentSpec"]["executors"][executor]
    env = [
        {
            "name": pair["envVar"],
            "valueFrom": {f"{kind}KeyRef": {"name": one[f"{kind}Name"], "key": pair[f"{kind}Key"]}},
        }
        for kind in ("secret", "configMap")
        for one in platform[f"{kind}AsEnv"]
        for pair in one["keyToEnv"]
    ]
    artifacts = {
        key: {
            "artifacts": [{"name": key, "type": {"schemaTitle": kind}, "uri": f"{root}/{name}/{key}", "metadata": {}}]
        }
        for key, kind in outputs.items()
    }
    given = {
        "inputs": {"parameterValues": parameters},
        "outputs": {"artifacts": artifacts, "outputFile": "/tmp/outputs.json"},  # noqa: S108 - the pod's own
    }
    arguments = [json.dumps(given) if one == "{{$}}" else one for one in container["args"]]
    # /s3 is where the launcher keeps artifacts of an s3:// root; the driver mounts it.
    mounts = [{"name": one, "mountPath": f"/{one}"} for one in ("s3", "tmp")]
    body = {
        "name": "main",
        "image": container["image"],
        "imagePullPolicy": "Never",
        "command": container["command"],
        "args": arguments,
        "env": env,
        "volumeMounts": mounts,
        "securityContext": {"readOnlyRootFilesystem": True, "runAsNonRoot": True, "allowPrivilegeEscalation": False},
    }
    return pod(name, body, OURS, [{"name": one, "emptyDir": {}} for one in ("s3", "tmp")])


def pod(name: str, container: dict[str, Any], labels: dict[str, str], volumes: list[dict[str, Any]]) -> dict[str, Any]:
    """A pod that runs once."""
    spec = {
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": volumes,
        "automountServiceAccountToken": False,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def done(cluster: Kubectl, name: str) -> str:
    """What a pod said, once it ended well."""
    try:
        phase = "--for=jsonpath={.status.phase}=Succeeded"
        cluster("wait", f"pod/{name}", phase, "--timeout=120s", deadline_s=130)
    except ClusterFailed as error:
        raise AssertionError(f"{error}: {cluster('logs', name)}") from error
    return cluster("logs", name)


def test_a_step_runs_with_the_launchers_settings_and_keeps_its_work_in_our_store(
    served: Deployed, kubeflow: Kubectl
) -> None:
    launcher = kubeflow.get("configmap", "kfp-launcher")["data"]
    root = launcher["defaultPipelineRoot"]
    (provider,) = (one["default"] for one in yaml.safe_load(launcher["providers"]).values())
    where = kubeflow.get("configmap", "rapt")["data"]
    assert (provider["endpoint"], root.split("/")[2]) == (where["RAPT_S3_ENDPOINT"], where["RAPT_S3_BUCKET"])
    keys = kubeflow.get("secret", provider["credentials"]["secretRef"]["secretName"])["data"]
    assert keys == served.cluster.get("secret", "object-store-credentials")["data"]

    outputs = {"catalog": "system.Dataset", "world": "system.Artifact"}
    kubeflow.apply(step("render-videos", {"videos": 3, "seed": 5}, outputs, f"{root}/a-run"))
    done(kubeflow, "render-videos")
    with object_store(served.cluster) as store:
        kept = [json.loads(store.get_bytes(key)) for key in store.list("steps/")]
    assert [record for record in kept if record["outputs"].keys() == outputs.keys()]


def test_a_pod_of_kubeflow_that_is_no_step_does_not_reach_the_store(kubeflow: Kubectl) -> None:
    program = """
import socket
try: socket.create_connection(("object-store.rapt.svc", 8333), 3).close(); print("open")
except OSError: print("closed")
"""
    body = {
        "name": "main",
        "image": IMAGES["serving"],
        "imagePullPolicy": "Never",
        "command": ["python", "-c", program],
    }
    kubeflow.apply(pod("no-step", body, {}, []), pod("some-step", body, OURS, []))
    assert (done(kubeflow, "no-step"), done(kubeflow, "some-step")) == ("closed\n", "open\n")
