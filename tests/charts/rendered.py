"""What helm makes of the chart, rendered once for each set of values."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "charts" / "rapt"
CI = tuple(sorted(path.stem for path in (CHART / "ci").glob("*.yaml")))
MORE = {
    "nobody": """
networkPolicy:
  {callers: [], predictorCallers: [], scrapers: [], viewers: [], dns: {peers: []}, kafka: {peers: []},
   objectStore: {peers: []}, kubeflow: {peers: []},
   videos: {peers: []}, apiServer: {peers: []}}
""",
    "one-list-each": """
networkPolicy:
  callers: []
  predictorCallers: [{podSelector: {matchLabels: {app: ranking}}}]
  scrapers: [{namespaceSelector: {}}]
  dns: {port: 1053}
  kafka: {peers: [{ipBlock: {cidr: 10.1.0.0/16}}, {ipBlock: {cidr: 10.2.0.0/16}}], port: 9094}
  objectStore: {peers: []}
""",
    "slow-end": "shutdown: {delaySeconds: 20, graceSeconds: 90}",
    "large": """
transformer: {oldestStateMs: 3600000, deadlineMs: 2500000, resources: {limits: {memory: 1200000Mi}}}
feeder: {stateMemoryMiB: 1048576}
""",
}
"""Values beyond the chart's own ci files."""
CASES = (*CI, *MORE)
KUBE, NAMESPACE = "1.34.0", "rapt"
COMPONENTS = ("transformer", "predictor", "explainer")
"""KServe's."""
FEED, LABELS, EXPERIMENTS = "catalogue-feed", "labels", "experiments"
REPORTS, EVIDENTLY, DASHBOARD = "reports", "evidently", "dashboard"
WORKERS = {FEED: "feed", **{name: name for name in (LABELS, EXPERIMENTS, REPORTS, EVIDENTLY, DASHBOARD)}}
"""Deployments of ours, each with the name of its one port."""
PAGES = (REPORTS, EVIDENTLY, DASHBOARD)
"""Those that people look at."""


@dataclass(frozen=True)
class Release:
    """What is sent to the cluster, and the values that it was made of."""

    values: dict[str, Any]
    objects: list[dict[str, Any]]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """The objects of a kind."""
        return [one for one in self.objects if one["kind"] == kind]

    @property
    def service(self) -> dict[str, Any]:
        """The InferenceService."""
        (found,) = self.of_kind("InferenceService")
        return found

    @property
    def components(self) -> dict[str, dict[str, Any]]:
        """KServe's, each with the fields of its pod."""
        return {name: self.service["spec"][name] for name in COMPONENTS}

    @property
    def pods(self) -> dict[str, dict[str, Any]]:
        """The fields of every pod and its labels, by component."""
        templates = [one["spec"]["template"] for one in self.of_kind("Deployment")]
        own = {one["metadata"]["labels"]["app.kubernetes.io/component"]: one for one in templates}
        return self.components | {name: {**one["spec"], **one["metadata"]} for name, one in own.items()}

    @property
    def processes(self) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
        """Container and pod of each program, the feeder among them."""
        return {
            component if container["name"] == "kserve-container" else container["name"]: (container, pod)
            for component, pod in self.pods.items()
            for container in pod["containers"]
        }


def helm(
    verb: str, *arguments: str, values: str, chart: Path | None = None, kube: str = KUBE
) -> subprocess.CompletedProcess[str]:
    """Run helm on the chart with a file of values."""
    name = ["rapt"] if verb == "template" else []
    command = ["helm", verb, *name, str(chart or CHART), "--namespace", NAMESPACE, "--kube-version", kube, *arguments]
    return subprocess.run(
        [*command, "--values", "-"], input=values, capture_output=True, text=True, timeout=60, check=False
    )


def given(case: str) -> str:
    """The values of a case, as YAML."""
    return MORE[case] if case in MORE else (CHART / "ci" / f"{case}.yaml").read_text(encoding="utf-8")


def template(values: str, chart: Path | None = None) -> str:
    """What helm renders."""
    done = helm("template", values=values, chart=chart)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(text: str) -> list[dict[str, Any]]:
    """The objects in it."""
    return [one for one in yaml.load_all(text, yaml.CSafeLoader) if one]


def defaults() -> dict[str, Any]:
    """The chart's own values."""
    found: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    return found


@cache
def release(case: str) -> Release:
    """The release of a case."""
    return Release(merged(defaults(), yaml.safe_load(given(case))), objects(template(given(case))))


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Values over values, as helm lays them: maps are merged, anything else is replaced."""
    both = {name: merged(below[name], one) for name, one in above.items() if below.get(name) and isinstance(one, dict)}
    return {**below, **above, **both}


def environment(container: dict[str, Any]) -> dict[str, str]:
    """A container's variables; `from-secret` stands for what comes from a Secret."""
    return {one["name"]: one.get("value", "from-secret") for one in container["env"]}


def mebibytes(quantity: str) -> float:
    """Kubernetes' memory quantity."""
    number, unit = quantity[:-2], quantity[-2:]
    return float(number) * {"Mi": 1, "Gi": 1024}[unit]


def selects(selector: dict[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether Kubernetes' label selector takes an object with these labels."""
    rules = selector.get("matchExpressions", [])
    assert {rule["operator"] for rule in rules} <= {"In", "DoesNotExist"}
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items() and all(
        labels.get(rule["key"]) in rule["values"] if rule["operator"] == "In" else rule["key"] not in labels
        for rule in rules
    )
