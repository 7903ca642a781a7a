"""What `rapt cluster create` asks of programs where the real parts cannot be had: minikube, operators from registries.

Stand-ins for docker, kubectl, helm and minikube write down how they were called; so this sees the commands and their
order, not that minikube, Strimzi, Kubeflow Pipelines or Prometheus take them. tests/cluster has the rest, for real.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from rapt.cluster import create
from rapt.cluster.create import CHART, IMAGES, KUBEFLOW, MANIFESTS, PROMETHEUS, STRIMZI, Plan
from rapt.errors import MissingProgram

STAND_IN = f"""#!{sys.executable}
import json, sys
from pathlib import Path
name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
with Path(sys.argv[0]).with_name("calls").open("a") as calls: calls.write(json.dumps([name, *arguments]) + "\\n")
if "version" in arguments: print('{{"serverVersion": {{"gitVersion": "v1.34.0"}}}}')
elif "kustomize" in arguments: print("apiVersion: kafka.strimzi.io/v1\\n  image: chrislusf/seaweedfs:4.48")
elif "template" in arguments: print("  image: rapt/serving:0.1.0\\n  - image: rapt/training:0.1.0")
elif "secret" in arguments: print('{{"data": {{"AWS_ACCESS_KEY_ID": "a2V5", "AWS_SECRET_ACCESS_KEY": "a2V5"}}}}')
elif arguments[-1] == "-": Path(sys.argv[0]).with_name("given").open("a").write(sys.stdin.read() + "\\n")
elif "get" in arguments and arguments[-4:][0] in ("secrets", "deployments", "statefulsets"): print('{{"items": []}}')
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-ins' folder, on PATH alone."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("docker", "kubectl", "helm", "minikube"):
        (folder / name).write_text(STAND_IN)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def calls(programs: Path) -> list[str]:
    """What was called, in this order."""
    return [" ".join(json.loads(line)) for line in (programs / "calls").read_text().splitlines()]


def position(made: list[str], *words: str) -> int:
    """Of the one call with these words."""
    (found,) = (number for number, call in enumerate(made) if all(word in call for word in words))
    return found


def test_minikube_with_everything_underneath(programs: Path) -> None:
    told: list[str] = []
    create.create(Plan(minikube=True, overlay="production", kubeflow=True, prometheus=True), told.append)
    made = calls(programs)
    start = position(made, "minikube start", "--profile rapt", "--cni calico")
    kserve = position(made, "helm", "charts/kserve-resources", "kserve.controller.deploymentMode=Standard")
    strimzi = position(made, "helm", "strimzi", f"--version {STRIMZI}", "--namespace strimzi", "watchNamespaces={rapt}")
    prometheus = position(made, "helm", "kube-prometheus-stack", f"--version {PROMETHEUS}", "--namespace monitoring")
    pipelines = position(made, "apply -k", f"env/platform-agnostic?ref={KUBEFLOW}")
    settings = position(made, "apply -k", str(MANIFESTS / "parts" / "kubeflow"))
    ground = position(made, "--namespace rapt apply -k", str(MANIFESTS / "overlays" / "production"))
    chart = position(made, "helm", f"upgrade --install rapt {CHART}", "podMonitor.enabled=true,prometheusRule")
    assert start < position(made, "helm", "charts/kserve-crd") < kserve < strimzi
    assert start < min(strimzi, prometheus, pipelines)
    assert max(strimzi, prometheus, pipelines) < ground < settings < chart == len(made) - 1
    applied = [json.loads(line) for line in (programs / "given").read_text().splitlines()]
    assert {one["metadata"]["name"] for one in applied} == {"object-store-credentials", "rapt-s3"}, (
        "Strimzi makes others"
    )
    assert "--namespace" not in made[pipelines] + made[settings], "objects of several namespaces"
    loaded = [call.split()[-1] for call in made if call.startswith("minikube --profile rapt image load")]
    assert loaded == ["chrislusf/seaweedfs:4.48", IMAGES["serving"], IMAGES["training"]]
    assert not [call for call in made if "--context" in call and "--context rapt " not in call]
    assert [line.split(":")[0].split("  ")[-1] for line in told] == [
        "cluster", "KServe", "operators", "images", "keys", "Kafka and object store", "more images", "chart",
    ]  # fmt: skip


def test_a_minikube_cluster_is_deleted_by_its_name(programs: Path) -> None:
    create.delete(Plan(name="mine", minikube=True))
    assert calls(programs) == ["minikube delete --profile mine"]


def test_a_program_that_is_missing_is_named_with_where_to_get_it(programs: Path) -> None:
    with pytest.raises(MissingProgram, match=r"kind \(https://kind\.sigs\.k8s\.io\)"):
        create.create(Plan(), print)
    (programs / "minikube").unlink()
    with pytest.raises(MissingProgram, match=r"minikube \(https://minikube"):
        create.create(Plan(minikube=True), print)
    assert not (programs / "calls").exists()
