"""From a machine with Docker to a cluster that serves: each step is done only where it is missing."""

from __future__ import annotations

import io
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rapt.cluster.programs import Kubectl, need, run
from rapt.cluster.secrets import make_secrets
from rapt.cluster.trouble import reasons
from rapt.errors import ClusterFailed

NAMESPACE = "rapt"
ROOT = Path(__file__).parents[2]
VERSION = "0.1.0"
IMAGES = {name: f"rapt/{name}:{VERSION}" for name in ("serving", "explainer", "training", "monitoring")}
UNDERNEATH = ("chrislusf/seaweedfs:4.48", "apache/kafka:4.3.1")
KSERVE, CERT_MANAGER = "v0.17.0", "v1.19.1"
KSERVE_CHARTS = "oci://ghcr.io/kserve/charts"
CERT_MANAGER_URL = f"https://github.com/cert-manager/cert-manager/releases/download/{CERT_MANAGER}/cert-manager.yaml"
BUILD_S, LOAD_S, READY_S, INSTALL_S = 1800.0, 600.0, 300.0, 300.0
PIP_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to make: a kind cluster called `name`, or everything on the existing `context`."""

    name: str = "rapt"
    context: str = ""
    overlay: str = "kind"
    values: tuple[Path, ...] = ()

    @property
    def cluster(self) -> Kubectl:
        """kubectl on it."""
        return Kubectl(self.context or f"kind-{self.name}", NAMESPACE)

    @property
    def kind(self) -> str:
        """The kind cluster's name; empty for other clusters."""
        return (
            self.context.removeprefix("kind-")
            if self.context.startswith("kind-")
            else ""
            if self.context
            else self.name
        )


def create(plan: Plan, tell: Tell) -> None:
    """Have the cluster with all that serves, up to the model; raises MissingProgram, ClusterFailed."""
    need("docker", "kubectl", "helm", *(("kind",) if plan.kind else ()))
    steps: tuple[tuple[str, Callable[[Plan], str]], ...] = (
        ("cluster", have_cluster),
        ("images", have_images),
        ("KServe", have_kserve),
        ("keys", have_keys),
        ("Kafka and object store", have_ground),
        ("chart", have_chart),
    )
    for name, step in steps:
        begun = time.monotonic()
        done = step(plan)
        tell(f"{time.monotonic() - begun:6.1f} s  {name}: {done}")


def delete(plan: Plan) -> None:
    """Delete the kind cluster, or what was installed on another one, with its data."""
    if not plan.context:
        run(["kind", "delete", "cluster", "--name", plan.name], deadline_s=120)
        return
    cluster = plan.cluster
    if "rapt" in cluster.helm("list", "--short").split():
        cluster.helm("uninstall", "rapt", "--wait", deadline_s=READY_S)
    cluster("delete", "namespace", NAMESPACE, "--ignore-not-found", deadline_s=READY_S)


def have_cluster(plan: Plan) -> str:
    """Make the kind cluster unless it is there; an existing context is only asked."""
    if plan.context:
        return f"{plan.context}, {plan.cluster('version', '-o', 'json').count('gitVersion')} sides answer"
    if plan.name in run(["kind", "get", "clusters"], deadline_s=30).split():
        return f"kind-{plan.name} is there"
    image = os.environ.get("KIND_NODE_IMAGE", "")
    chosen = ("--image", image) if image else ()
    run(["kind", "create", "cluster", "--name", plan.name, "--wait", "180s", *chosen], deadline_s=READY_S)
    return f"kind-{plan.name} was made"


def have_images(plan: Plan) -> str:
    """Build our images, and load them and those underneath into a kind cluster."""
    for target, tag in IMAGES.items():
        build(target, tag)
    if not plan.kind:
        return f"{', '.join(IMAGES.values())} were built: push them to where the cluster's nodes pull from"
    for image in (*IMAGES.values(), *UNDERNEATH):
        if not _has_image(image):
            run(["docker", "pull", image], deadline_s=LOAD_S)
        run(["kind", "load", "docker-image", image, "--name", plan.kind], deadline_s=LOAD_S)
    return "are on the nodes"


def build(target: str, tag: str) -> None:
    """Build one of our images; what has not changed comes from Docker's cache."""
    given = [f"--build-arg={name}={os.environ[name]}" for name in PIP_VARIABLES if name in os.environ]
    command = ["docker", "build", "--file", str(ROOT / "images" / "Dockerfile"), "--target", target]
    run([*command, "--tag", tag, *given, str(ROOT)], deadline_s=BUILD_S, env={**os.environ, "DOCKER_BUILDKIT": "1"})


def have_kserve(plan: Plan) -> str:
    """Install cert-manager and KServe in Standard mode unless KServe is there."""
    cluster = plan.cluster
    if cluster.get("crd", "inferenceservices.serving.kserve.io"):
        return "is there"
    cluster("apply", "--server-side", "-f", CERT_MANAGER_URL, deadline_s=INSTALL_S)
    for name in ("cert-manager", "cert-manager-webhook"):
        cluster("--namespace", "cert-manager", "rollout", "status", f"deployment/{name}", deadline_s=INSTALL_S)
    for chart, more in (("kserve-crd", ()), ("kserve", ("--set", "kserve.controller.deploymentMode=Standard"))):
        cluster.helm("upgrade", "--install", chart, f"{KSERVE_CHARTS}/{chart}", "--version", KSERVE, "--namespace",
                     "kserve", "--create-namespace", "--wait", *more, deadline_s=INSTALL_S)  # fmt: skip
    return f"{KSERVE} was installed"


def have_keys(plan: Plan) -> str:
    """Make the namespace and the Secrets that are missing in it."""
    plan.cluster("apply", "-k", str(ROOT / "manifests" / "base"))
    made = make_secrets(plan.cluster)
    return f"made {', '.join(made)}" if made else "are there"


def have_ground(plan: Plan) -> str:
    """Apply the overlay, and wait for Kafka and the object store."""
    cluster = plan.cluster
    cluster("apply", "-k", str(ROOT / "manifests" / "overlays" / plan.overlay))
    with told(cluster):
        for one in cluster.items("statefulsets"):
            name = one["metadata"]["name"]
            cluster("rollout", "status", f"statefulset/{name}", f"--timeout={READY_S:g}s", deadline_s=READY_S + 10)
    return "are ready"


def have_chart(plan: Plan) -> str:
    """Install or upgrade the release; what serves waits for a model by itself."""
    files = [word for path in plan.values for word in ("-f", str(path))]
    plan.cluster.helm("upgrade", "--install", "rapt", str(ROOT / "charts" / "rapt"), *files, deadline_s=INSTALL_S)
    return "is installed"


def wait_ready(cluster: Kubectl, deadline_s: float = READY_S) -> None:
    """Wait until predictor, transformer and explainer answer; raises ClusterFailed with the reasons."""
    with told(cluster):
        for part in ("Predictor", "Transformer", "Explainer"):
            condition = f"--for=condition={part}Ready"
            cluster("wait", "inferenceservice/interest", condition, f"--timeout={deadline_s:g}s",
                    deadline_s=deadline_s + 10)  # fmt: skip


@contextmanager
def told(cluster: Kubectl) -> Iterator[None]:
    """Add to a failure what the cluster says of it."""
    try:
        yield
    except ClusterFailed as error:
        why = reasons(cluster)
        raise ClusterFailed("; ".join([str(error), *why])) from error


@contextmanager
def forwarded(cluster: Kubectl, target: str, port: int) -> Iterator[int]:
    """A loopback port that leads to the port of a Service or pod while inside."""
    command = [*cluster.command, "port-forward", target, f":{port}", "--address", "127.0.0.1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    said = process.stdout or io.StringIO()
    try:
        line = said.readline()
        if (found := re.search(r":(\d+) ->", line)) is None:
            raise ClusterFailed(f"kubectl port-forward {target} {port} did not begin; is it ready?")
        yield int(found[1])
    finally:
        process.terminate()
        process.wait()
        said.close()


def _has_image(tag: str) -> bool:
    try:
        run(["docker", "image", "inspect", tag], deadline_s=30)
    except ClusterFailed:
        return False
    return True
