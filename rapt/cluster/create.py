"""From a machine with Docker to a cluster that serves: each step is done only where it is missing."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rapt.cluster.programs import Kubectl, need, run
from rapt.cluster.secrets import copy_store_keys, make_secrets
from rapt.cluster.trouble import reasons
from rapt.errors import ClusterFailed

NAMESPACE = "rapt"
ROOT = Path(__file__).parents[2]
CHART, MANIFESTS = ROOT / "charts" / "rapt", ROOT / "manifests"
VERSION = "0.1.0"
IMAGES = {name: f"rapt/{name}:{VERSION}" for name in ("serving", "explainer", "training", "monitoring")}
TRAINING = IMAGES["training"]
KSERVE, CERT_MANAGER, STRIMZI, KUBEFLOW, PROMETHEUS = "v0.17.0", "v1.19.1", "1.2.0", "2.17.0", "79.5.0"
KSERVE_CHARTS = "oci://ghcr.io/kserve/charts"
CERT_MANAGER_URL = f"https://github.com/cert-manager/cert-manager/releases/download/{CERT_MANAGER}/cert-manager.yaml"
STRIMZI_CHART = "oci://quay.io/strimzi-helm/strimzi-kafka-operator"
KUBEFLOW_URL = "github.com/kubeflow/pipelines/manifests/kustomize"
PROMETHEUS_CHART = "oci://ghcr.io/prometheus-community/charts/kube-prometheus-stack"
BUILD_S, LOAD_S, READY_S, INSTALL_S = 1800.0, 900.0, 300.0, 600.0
PIP_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")
PROMETHEUS_VALUES = (
    "--set", "podMonitor.enabled=true,prometheusRule.enabled=true", "--set-json",
    'networkPolicy.scrapers=[{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]',
)  # fmt: skip

IMAGE = re.compile(r"(?m)^\s*(?:- )?image: (\S+)$")

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to make: a kind cluster called `name` (or a minikube one), or everything on the existing `context`."""

    name: str = "rapt"
    context: str = ""
    overlay: str = "kind"
    values: tuple[Path, ...] = ()
    minikube: bool = False
    kubeflow: bool = False
    prometheus: bool = False

    @property
    def cluster(self) -> Kubectl:
        """kubectl on it."""
        return Kubectl(self.context or (self.name if self.minikube else f"kind-{self.name}"), NAMESPACE)

    @property
    def kind(self) -> str:
        """The kind cluster's name; empty for other clusters."""
        context = self.cluster.context
        return context.removeprefix("kind-") if context.startswith("kind-") and not self.minikube else ""

    @property
    def files(self) -> tuple[str, ...]:
        """The values files as options of helm."""
        return tuple(word for path in self.values for word in ("-f", str(path)))

    @property
    def loads(self) -> tuple[str, ...]:
        """The command that brings an image, to be named next, to the nodes; empty where they pull."""
        if self.minikube:
            return ("minikube", "--profile", self.cluster.context, "image", "load")
        return ("kind", "load", "docker-image", "--name", self.kind) if self.kind else ()


def create(plan: Plan, tell: Tell) -> None:
    """Have the cluster with all that serves, up to the model; raises MissingProgram, ClusterFailed."""
    need("docker", "kubectl", "helm", *plan.loads[:1])

    def step(name: str, work: Callable[[], str]) -> None:
        begun = time.monotonic()
        done = work()
        tell(f"{time.monotonic() - begun:6.1f} s  {name}: {done}")

    step("cluster", lambda: have_cluster(plan))
    first, then = images(plan)
    # Images take the longest: they are brought while the rest is installed, those that Kafka needs before the others.
    with ThreadPoolExecutor(1) as side:
        small = side.submit(have_images, plan, first)
        large = side.submit(have_images, plan, then)
        try:
            step("KServe", lambda: have_kserve(plan))
            step("operators", lambda: have_operators(plan))
            step("images", small.result)
            step("keys", lambda: have_keys(plan))
            step("Kafka and object store", lambda: have_ground(plan))
            step("more images", large.result)
        except BaseException:
            large.cancel()
            raise
    step("chart", lambda: have_chart(plan))


def delete(plan: Plan) -> None:
    """Delete the kind or minikube cluster, or what was installed on another one, with its data."""
    if not plan.context:
        profile = ("minikube", "delete", "--profile", plan.name)
        run(profile if plan.minikube else ("kind", "delete", "cluster", "--name", plan.name), deadline_s=120)
        return
    cluster = plan.cluster
    if cluster("get", "crd", "experiments.rapt.dev", "--ignore-not-found", "-o", "name").strip():
        # While their operator lives: it gives each back once its candidate is gone.
        cluster("delete", "experiments.rapt.dev", "--all", "--ignore-not-found", deadline_s=READY_S)
    if "rapt" in cluster.helm("list", "--short").split():
        cluster.helm("uninstall", "rapt", "--wait", deadline_s=READY_S)
    if cluster("get", "crd", "kafkatopics.kafka.strimzi.io", "--ignore-not-found", "-o", "name").strip():
        # While Strimzi's operator of topics lives: it alone takes its finalizers from them.
        cluster("delete", "kafkatopics.kafka.strimzi.io", "--all", "--ignore-not-found", deadline_s=READY_S)
    cluster("delete", "namespace", NAMESPACE, "--ignore-not-found", deadline_s=READY_S)


def have_cluster(plan: Plan) -> str:
    """Make the kind or minikube cluster unless it is there; an existing context is only asked."""
    if plan.context:
        return f"{plan.context}, Kubernetes {version(plan.cluster)}"
    if plan.minikube:
        # Calico, since minikube's own network does not enforce NetworkPolicies.
        run(["minikube", "start", "--profile", plan.name, "--cni", "calico", "--wait", "all"], deadline_s=INSTALL_S)
        return f"minikube {plan.name} runs"
    if plan.name in run(["kind", "get", "clusters"], deadline_s=30).split():
        return f"kind-{plan.name} is there"
    image = os.environ.get("KIND_NODE_IMAGE", "")
    chosen = ("--image", image) if image else ()
    run(["kind", "create", "cluster", "--name", plan.name, "--wait", "180s", *chosen], deadline_s=READY_S)
    return f"kind-{plan.name} was made"


def version(cluster: Kubectl) -> str:
    """Kubernetes' version, as v1.34.0."""
    found: str = json.loads(cluster("version", "-o", "json"))["serverVersion"]["gitVersion"]
    return found


def images(plan: Plan) -> tuple[list[str], list[str]]:
    """The images that the overlay needs, and those that the chart needs beside them."""
    chart = plan.cluster.helm("template", "rapt", str(CHART), "--kube-version", version(plan.cluster), *plan.files)
    overlay = run(["kubectl", "kustomize", str(_overlay(plan))], deadline_s=60)
    first = list(dict.fromkeys(IMAGE.findall(overlay)))
    steps = [TRAINING] if plan.kubeflow else []
    return first, [one for one in dict.fromkeys([*IMAGE.findall(chart), *steps]) if one not in first]


def have_images(plan: Plan, wanted: list[str]) -> str:
    """Build those that are ours, and bring all of them to the nodes of a kind or minikube cluster."""
    for target, tag in IMAGES.items():
        if tag in wanted:
            build(target, tag)
    if not plan.loads:
        built = [one for one in wanted if one in IMAGES.values()]
        return f"{', '.join(built) or 'none'} built: push them to where the cluster's nodes pull from"
    there = ("--nodes", ",".join(open_nodes(plan.cluster))) if plan.kind else ()
    for image in wanted:
        if not _has_image(image):
            run(["docker", "pull", image], deadline_s=LOAD_S)
        run([*plan.loads, image, *there], deadline_s=LOAD_S)
    return f"{', '.join(wanted) or 'none'}"


def open_nodes(cluster: Kubectl) -> list[str]:
    """The nodes that take pods of ours: those without a taint that keeps them out."""
    return [
        one["metadata"]["name"]
        for one in cluster.items("nodes")
        if all(taint["effect"] != "NoSchedule" for taint in one["spec"].get("taints", []))
    ]


def build(target: str, tag: str) -> None:
    """Build one of our images; what has not changed comes from Docker's cache."""
    given = [f"--build-arg={name}={os.environ[name]}" for name in PIP_VARIABLES if name in os.environ]
    command = ["docker", "build", "--file", str(ROOT / "images" / "Dockerfile"), "--target", target]
    run([*command, "--tag", tag, *given, str(ROOT)], deadline_s=BUILD_S, env={**os.environ, "DOCKER_BUILDKIT": "1"})


def have_kserve(plan: Plan) -> str:
    """Install cert-manager and KServe in Standard mode unless KServe's controller is there."""
    cluster = plan.cluster.of("")
    if _deployed(cluster, "kserve-controller-manager"):
        return "is there"
    cluster("apply", "--server-side", "-f", CERT_MANAGER_URL, deadline_s=INSTALL_S)
    for name in ("cert-manager", "cert-manager-webhook"):
        cluster.of("cert-manager")("rollout", "status", f"deployment/{name}", deadline_s=INSTALL_S)
    for chart, more in (("kserve-crd", ()), ("kserve-resources", ("kserve.controller.deploymentMode=Standard",))):
        _install(cluster.of("kserve"), chart, f"{KSERVE_CHARTS}/{chart}", KSERVE, *more)
    return f"{KSERVE} was installed"


def have_operators(plan: Plan) -> str:
    """Install Strimzi where the overlay needs it, and what was asked for beside, unless they are there."""
    cluster, made = plan.cluster.of(""), []
    if _by_strimzi(plan) and not _deployed(cluster, "strimzi-cluster-operator"):
        cluster("apply", "-k", str(MANIFESTS / "base"))
        _install(cluster.of("strimzi"), "strimzi", STRIMZI_CHART, STRIMZI, f"watchNamespaces={{{NAMESPACE}}}")
        made.append(f"Strimzi {STRIMZI}")
    if plan.prometheus and not cluster.get("crd", "podmonitors.monitoring.coreos.com"):
        everywhere = [
            f"prometheus.prometheusSpec.{one}SelectorNilUsesHelmValues=false" for one in ("podMonitor", "rule")
        ]
        _install(cluster.of("monitoring"), "prometheus", PROMETHEUS_CHART, PROMETHEUS, *everywhere)
        made.append(f"Prometheus and Grafana {PROMETHEUS}")
    if plan.kubeflow and not cluster.of("kubeflow").get("deployment", "ml-pipeline"):
        cluster("apply", "-k", f"{KUBEFLOW_URL}/cluster-scoped-resources?ref={KUBEFLOW}", deadline_s=INSTALL_S)
        cluster("wait", "crd/applications.app.k8s.io", "--for=condition=established", "--timeout=60s", deadline_s=70)
        cluster("apply", "-k", f"{KUBEFLOW_URL}/env/platform-agnostic?ref={KUBEFLOW}", deadline_s=INSTALL_S)
        cluster.of("kubeflow")("rollout", "status", "deployment/ml-pipeline", deadline_s=INSTALL_S)
        made.append(f"Kubeflow Pipelines {KUBEFLOW}")
    return f"{', '.join(made)} installed" if made else "none is missing"


def _deployed(cluster: Kubectl, name: str) -> bool:
    """Whether a Deployment has that name, in whatever namespace; its CRDs alone may be what a broken install left."""
    return bool(cluster.get("deployments", "-A", f"--field-selector=metadata.name={name}").get("items"))


def installed(cluster: Kubectl, target: str) -> tuple[str, list[dict[str, str]]]:
    """The image of that target which the release runs, with its pull secrets; ours where there is no release."""
    try:
        values = json.loads(cluster.helm("get", "values", "rapt", "--all", "--output", "json"))["images"]
    except ClusterFailed:
        return IMAGES[target], []
    return values.get(target, IMAGES[target]), values.get("pullSecrets") or []


def _install(cluster: Kubectl, name: str, chart: str, version: str, *values: str) -> None:
    chosen = [word for value in values for word in ("--set", value)]
    cluster.helm("upgrade", "--install", name, chart, "--version", version, "--create-namespace", "--wait", *chosen,
                 deadline_s=INSTALL_S)  # fmt: skip


def have_keys(plan: Plan) -> str:
    """Make the namespace and the Secrets that are missing in it."""
    plan.cluster("apply", "-k", str(MANIFESTS / "base"))
    made = make_secrets(plan.cluster, kafka=not _by_strimzi(plan))
    if plan.kubeflow:
        copy_store_keys(plan.cluster, "kubeflow")
    return f"made {', '.join(made)}" if made else "are there"


def have_ground(plan: Plan) -> str:
    """Apply the overlay, and wait for Kafka and the object store."""
    cluster = plan.cluster
    cluster("apply", "-k", str(_overlay(plan)))
    if plan.kubeflow:
        cluster.of("")("apply", "-k", str(MANIFESTS / "parts" / "kubeflow"))
    with told(cluster):
        for one in cluster.items("statefulsets"):
            roll_out(cluster, f"statefulset/{one['metadata']['name']}")
        if _by_strimzi(plan):
            cluster(
                "wait", "kafka/rapt", "--for=condition=Ready", f"--timeout={INSTALL_S:g}s", deadline_s=INSTALL_S + 10
            )
    return "are ready"


def have_chart(plan: Plan) -> str:
    """Install or upgrade the release; what serves waits for a model by itself."""
    more = PROMETHEUS_VALUES if plan.prometheus else ()
    plan.cluster.helm("upgrade", "--install", "rapt", str(CHART), *more, *plan.files, deadline_s=INSTALL_S)
    return "is installed"


WORKERS = ("catalogue-feed", "labels", "experiments")
"""What of the chart is a Deployment of ours; KServe makes the others."""


def wait_ready(cluster: Kubectl, deadline_s: float = READY_S) -> None:
    """Wait until all that serves answers; raises ClusterFailed with the reasons."""
    with told(cluster):
        for one in cluster.get("deployments", "-l", f"app.kubernetes.io/component in ({', '.join(WORKERS)})")["items"]:
            roll_out(cluster, f"deployment/{one['metadata']['name']}", deadline_s)
        for part in ("Predictor", "Transformer", "Explainer"):
            condition = f"--for=condition={part}Ready"
            cluster("wait", "inferenceservice/interest", condition, f"--timeout={deadline_s:g}s",
                    deadline_s=deadline_s + 10)  # fmt: skip


def roll_out(cluster: Kubectl, what: str, deadline_s: float = READY_S) -> None:
    """Wait until a Deployment or StatefulSet has all of its pods ready; raises ClusterFailed."""
    cluster("rollout", "status", what, f"--timeout={deadline_s:g}s", deadline_s=deadline_s + 10)


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


def _by_strimzi(plan: Plan) -> bool:
    """Whether the overlay has objects for Strimzi's operators, which make Kafka and its Secrets."""
    return "\napiVersion: kafka.strimzi.io" in "\n" + run(["kubectl", "kustomize", str(_overlay(plan))], deadline_s=60)


def _overlay(plan: Plan) -> Path:
    return MANIFESTS / "overlays" / plan.overlay


def _has_image(tag: str) -> bool:
    try:
        run(["docker", "image", "inspect", tag], deadline_s=30)
    except ClusterFailed:
        return False
    return True
