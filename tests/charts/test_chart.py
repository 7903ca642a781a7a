"""The Helm chart as helm renders it: sound for the API server, closed, bounded, and what the programs accept."""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import json
import os
import re
import shutil
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from inference.feeder.process import LAST_CHECKPOINT_S
from inference.feeder.settings import FeederSettings
from inference.transformer.exposures import FLUSH_S
from monitoring.dashboards import build as dashboards
from monitoring.labels.settings import LabelSettings
from monitoring.operator.predictors import OF
from rapt.cluster import secrets
from rapt.cluster.create import IMAGES, VERSION
from rapt.cluster.programs import Kubectl
from tests.charts import rendered
from tests.charts.rendered import (
    CASES,
    COMPONENTS,
    DASHBOARD,
    EVIDENTLY,
    EXPERIMENTS,
    FEED,
    LABELS,
    NAMESPACE,
    PAGES,
    REPORTS,
    WORKERS,
    Release,
    defaults,
    environment,
    given,
    helm,
    mebibytes,
    merged,
    objects,
    release,
    selects,
    template,
)
from tests.manifests.built import MANIFESTS, build, closed, named, of_kind
from tests.manifests.built import pods as pods_of
from wire.kafka import KafkaSettings
from wire.kafka.settings import Security
from wire.objects import ObjectStore

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(shutil.which("helm") is None, reason="the chart is rendered by helm"),
]

ROOT = Path(__file__).parents[2]
OURS = {"app.kubernetes.io/name": "rapt", "app.kubernetes.io/instance": "rapt", "app.kubernetes.io/part-of": "rapt"}
MODELS = {
    ("serving.kserve.io/v1beta1", "InferenceService"): "V1beta1InferenceService",
    ("networking.k8s.io/v1", "NetworkPolicy"): "V1NetworkPolicy",
    ("policy/v1", "PodDisruptionBudget"): "V1PodDisruptionBudget",
    ("v1", "ServiceAccount"): "V1ServiceAccount",
    ("v1", "Service"): "V1Service",
    ("v1", "ConfigMap"): "V1ConfigMap",
    ("batch/v1", "CronJob"): "V1CronJob",
    ("apps/v1", "Deployment"): "V1Deployment",
    ("rbac.authorization.k8s.io/v1", "Role"): "V1Role",
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): "V1RoleBinding",
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): "V1CustomResourceDefinition",
}
"""What is sent to the API server, and the clients' model of it; of PodMonitor and PrometheusRule there is none."""
PINNED = re.compile(r".+(:(?!latest$)[^/:@]+|@sha256:[0-9a-f]{64})")
SOURCES = ("inference", "monitoring", "components", "wire", "interest", "rapt")
READ_BY_OTHERS = {"OMP_NUM_THREADS"}
PUT_TOGETHER = {"RAPT_LABEL_WINDOW_S", "RAPT_LABEL_SLACK_S", "RAPT_LABEL_KEEP_DAYS"}
"""By `LabelSettings`, of a prefix and the names of its fields."""
VALUES = {FEED: "catalogueFeed"}
"""Where the values of a program lie under another name."""
SOME_PEER = [{"ipBlock": {"cidr": "10.9.0.0/16"}}]
OTHER = {
    "pullPolicy": "Always",
    "pullSecrets": [{"name": "other"}],
    "digest": "0" * 64,
    "endpoint": "https://other",
    "scaleMetric": "memory",
    "extraEnv": [{"name": "OTHER", "value": "1"}],
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"podAffinity": {}},
    "prometheus": "http://other",
    "reportsAddress": "http://other",
    "kfpEndpoint": "http://other",
    "schedule": "5 4 * * *",
    "allowPrivateAddresses": "all",
    "ports": [8443],
    **dict.fromkeys(("callers", "predictorCallers", "scrapers", "viewers", "peers"), SOME_PEER),
}
"""Another value for those that cannot be had from the default."""


@pytest.fixture(params=CASES)
def made(request: pytest.FixtureRequest) -> Release:
    return release(request.param)


@pytest.mark.parametrize("case", CASES)
def test_lints(case: str) -> None:
    done = helm("lint", "--strict", values=given(case))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_value_is_of_use() -> None:
    scaled: dict[str, Any] = {name: {"minReplicas": 2, "maxReplicas": 5} for name in COMPONENTS}
    scaled["explainer"] |= {"scaleMetric": "rps"}
    more = {"podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}, "keda": {"prometheus": "http://some"}}
    more["networkPolicy"] = {"kubeflow": {"peers": [{"ipBlock": {"cidr": "10.8.0.0/16"}}]}}
    base = merged(defaults(), {**scaled, **more})
    text = template(yaml.safe_dump(base))
    for path, value in leaves(base):
        changed: Any = not value if isinstance(value, bool) else OTHER.get(path[-1])
        if changed is None and value == {}:
            changed = {"other": "1"}
        elif changed is None:
            changed = f"1{value}" if isinstance(value, str) else value + 1
        for name in reversed(path):
            changed = {name: changed}
        if path == ("labels", "enabled"):  # what stands on it goes too
            changed |= {name: {"enabled": False} for name in (EXPERIMENTS, REPORTS, EVIDENTLY)}
        if path == (REPORTS, "enabled"):
            changed[EVIDENTLY] = {"enabled": False}
        assert template(yaml.safe_dump(merged(base, changed))) != text, f"{'.'.join(path)} changes nothing"


def leaves(values: dict[str, Any], *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The path to each single value, and it."""
    for name, one in values.items():
        if isinstance(one, dict) and one:
            yield from leaves(one, *path, name)
        else:
            yield (*path, name), one


@pytest.fixture(scope="module")
def jsonschema() -> Any:
    return pytest.importorskip("jsonschema_rs", reason="the chart's objects are checked by jsonschema-rs")


@pytest.fixture(scope="module")
def checks(jsonschema: Any) -> dict[tuple[str, str], Any]:
    """A validator for each kind of object."""
    from tests.charts.schemas import of_model

    return {kind: jsonschema.validator_for(of_model(name)) for kind, name in MODELS.items()}


def test_objects_are_as_the_api_server_wants_them(made: Release, checks: dict[tuple[str, str], Any]) -> None:
    for one in made.objects:
        assert one["metadata"].get("namespace") == (None if one["kind"] == "CustomResourceDefinition" else NAMESPACE)
        if one["kind"] == "NetworkPolicy":  # whose null is an empty list
            one = {**one, "spec": {key: value for key, value in one["spec"].items() if value is not None}}
        if one["kind"] not in {"PodMonitor", "PrometheusRule"}:
            checks[one["apiVersion"], one["kind"]].validate(one)


@pytest.fixture(scope="module")
def crds(jsonschema: Any) -> dict[tuple[str, str], Any]:
    """Validators of the definitions in the folder, by version and kind."""
    found = {}
    for path in Path(os.environ["RAPT_TEST_CRDS"]).glob("*.yaml"):
        for one in objects(path.read_text(encoding="utf-8")):
            if one["kind"] == "CustomResourceDefinition":
                for version in one["spec"]["versions"]:
                    schema = closed(version["schema"]["openAPIV3Schema"])
                    schema["properties"] |= {key: {} for key in ("apiVersion", "kind", "metadata")}
                    kind = (f"{one['spec']['group']}/{version['name']}", one["spec"]["names"]["kind"])
                    found[kind] = jsonschema.validator_for(schema)
    return found


@pytest.mark.skipif("RAPT_TEST_CRDS" not in os.environ, reason="RAPT_TEST_CRDS names no folder with KServe's CRDs")
def test_objects_are_as_the_crds_want_them(made: Release, crds: dict[tuple[str, str], Any]) -> None:
    crds[made.service["apiVersion"], "InferenceService"].validate(made.service)
    for one in made.of_kind("PodMonitor") + made.of_kind("PrometheusRule"):
        if check := crds.get((one["apiVersion"], one["kind"])):
            check.validate(one)


def test_lists_by_name_name_nothing_twice(made: Release) -> None:
    """The API server refuses what has a name twice."""
    for pod in made.pods.values():
        lists = [pod["containers"], pod["volumes"], *(one["env"] for one in pod["containers"])]
        lists.append([port for one in pod["containers"] for port in one["ports"]])
        for names in [[one["name"] for one in some] for some in lists]:
            assert len(names) == len(set(names)), names


def test_pods_keep_the_rules_of_restricted(made: Release) -> None:
    own = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }
    for name, pod in made.pods.items():
        security = pod["securityContext"]
        assert (security["runAsNonRoot"], security["runAsUser"], security["runAsGroup"]) == (True, 10001, 10001), name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is (name == EXPERIMENTS), "the operator alone asks the API server"
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers", "hostAliases"} & pod.keys(), name
        assert {key for one in pod["volumes"] for key in one if key != "name"} <= {"emptyDir", "projected"}, name
        assert all(container["securityContext"] == own for container in pod["containers"]), name
    accounts = {one["metadata"]["name"]: one["automountServiceAccountToken"] for one in made.of_kind("ServiceAccount")}
    wanted = {name: "rapt-experiments" if name == EXPERIMENTS else "rapt" for name in made.pods}
    assert {name: pod["serviceAccountName"] for name, pod in made.pods.items()} == wanted
    assert accounts == dict.fromkeys(wanted.values(), False)


def test_containers_are_bounded_probed_and_pinned(made: Release) -> None:
    for name, (container, pod) in made.processes.items():
        assert PINNED.fullmatch(container["image"]), container["image"]
        for part in ("requests", "limits"):
            assert container["resources"][part].keys() == {"cpu", "memory"}, name
        ports = {port["containerPort"] for port in container["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] in ports, f"{name}: {probe}"
        volumes = {one["name"]: one for one in pod["volumes"]}
        for mount in container["volumeMounts"]:
            volume = volumes[mount["name"]]
            assert mount.get("readOnly") if "projected" in volume else "sizeLimit" in volume["emptyDir"], mount
    for name, pod in made.pods.items():
        mounted = {mount["name"] for one in pod["containers"] for mount in one["volumeMounts"]}
        assert mounted == {one["name"] for one in pod["volumes"]}, name


def test_images_are_those_that_are_built() -> None:
    chart = yaml.safe_load((rendered.CHART / "Chart.yaml").read_text(encoding="utf-8"))
    images = {name: one["image"] for name, (one, _) in release("default").processes.items()}
    assert images.pop("explainer") == IMAGES["explainer"]
    assert images.pop(FEED) == IMAGES["training"]
    assert {images.pop(name) for name in (LABELS, EXPERIMENTS, *PAGES)} == {IMAGES["monitoring"]}
    assert set(images.values()) == {IMAGES["serving"]}
    assert chart["appVersion"] == VERSION


def test_a_cluster_without_the_sleep_action_is_refused() -> None:
    done = helm("template", values="{}", kube="1.29.9")
    assert "kubeVersion" in done.stderr


def test_pods_and_budgets_spread_and_select_their_own(made: Release) -> None:
    labels = {name: pod["labels"] for name, pod in made.pods.items()}
    selectors = [(one["metadata"]["labels"], one["spec"]["selector"]) for one in made.of_kind("PodDisruptionBudget")]
    selectors += [
        (p["labels"], one["labelSelector"]) for p in made.pods.values() for one in p["topologySpreadConstraints"]
    ]
    assert len(selectors) >= 6
    selectors += [(one["spec"]["template"]["metadata"]["labels"], one["spec"]["selector"])
                  for one in made.of_kind("Deployment")]  # fmt: skip
    assert len(made.of_kind("Deployment")) == len(made.pods.keys() & WORKERS.keys())
    for own, selector in selectors:
        assert [name for name in labels if selects(selector, labels[name])] == [own["app.kubernetes.io/component"]]


def test_pods_have_no_label_that_changes(made: Release) -> None:
    for name, pod in made.pods.items():
        assert pod["labels"] == OURS | {"app.kubernetes.io/component": name}


def test_a_newer_chart_of_the_same_content_restarts_nothing(tmp_path: Path) -> None:
    newer = tmp_path / "rapt"
    shutil.copytree(rendered.CHART, newer)
    text = (newer / "Chart.yaml").read_text(encoding="utf-8")
    (newer / "Chart.yaml").write_text(re.sub(r"(?m)^(version|appVersion): .*", r"\1: 7.7.7", text), encoding="utf-8")
    now = objects(template(given("default"), newer))
    assert [one for one in now if one["kind"] == "InferenceService"] == [release("default").service]


def reach(made: Release, labels: dict[str, str], way: str) -> set[tuple[str, int, str]]:
    """Who reaches a pod with these labels, or whom it reaches: a component or a peer in JSON, port and protocol."""
    all_policies = [one["spec"] for one in made.of_kind("NetworkPolicy") if way.title() in one["spec"]["policyTypes"]]
    policies = [one for one in all_policies if selects(one["podSelector"], labels)]
    assert policies, f"{way} of {labels} is not closed"
    found = set()
    for rule in [rule for one in policies for rule in one.get(way) or []]:
        peers, ports = rule["from" if way == "ingress" else "to"], rule["ports"]
        assert peers and ports, f"a rule for everybody or every port: {rule}"
        for peer, port in product(peers, ports):
            found.add((who(made, peer), port["port"], port.get("protocol", "TCP")))
    return found


def who(made: Release, peer: dict[str, Any]) -> str:
    """A component's name when the peer selects that one of the release."""
    if "app.kubernetes.io/instance" in peer.get("podSelector", {}).get("matchLabels", {}):
        (found,) = (name for name, pod in made.pods.items() if selects(peer["podSelector"], pod["labels"]))
        assert peer.keys() == {"podSelector"}
        return found
    return json.dumps(peer, sort_keys=True)


def through(peers: Any, *ports: tuple[int, str] | int) -> set[tuple[str, int, str]]:
    """These peers on these ports."""
    names = [peer if isinstance(peer, str) else json.dumps(peer, sort_keys=True) for peer in peers]
    return {(name, *(port if isinstance(port, tuple) else (port, "TCP"))) for name, port in product(names, ports)}


def test_nobody_but_who_is_named_comes_in_or_is_reached(made: Release) -> None:
    wanted = made.values["networkPolicy"]
    if not wanted["enabled"]:
        assert not made.of_kind("NetworkPolicy")
        return
    scrapers, by_transformer = wanted["scrapers"], through(["transformer"], 8080, 8081)
    names = through(wanted["dns"]["peers"], (wanted["dns"]["port"], "UDP"), (wanted["dns"]["port"], "TCP"))
    kafka, objects = (through(wanted[name]["peers"], wanted[name]["port"]) for name in ("kafka", "objectStore"))
    incoming = {
        "transformer": through(wanted["callers"], 8080, 8081) | through(scrapers, 8080, 8086),
        "predictor": by_transformer | through(wanted["predictorCallers"], 8081) | through(scrapers, 8080),
        "explainer": by_transformer | through(scrapers, 8080),
    }
    outgoing = {name: names | objects | (set() if name in (REPORTS, EVIDENTLY) else kafka) for name in made.pods}
    outgoing["transformer"] |= through(["predictor", "explainer"], 8080, 8081)
    for name, port in ((LABELS, 8090), (EXPERIMENTS, 8091)):
        if name in made.pods:
            incoming[name] = through(scrapers, port)
    if EXPERIMENTS in made.pods:
        incoming["predictor"] |= through([EXPERIMENTS], 8080)
        outgoing[EXPERIMENTS] |= through(["predictor"], 8080)
        outgoing[EXPERIMENTS] |= through(wanted["apiServer"]["peers"], *wanted["apiServer"]["ports"])
    for name, port in ((REPORTS, 8093), (EVIDENTLY, 8095), (DASHBOARD, 8094)):
        if name in made.pods:
            incoming[name] = through(wanted["viewers"], port)
    if REPORTS in made.pods:
        incoming[REPORTS] |= through(scrapers, 8093)
    if DASHBOARD in made.pods:
        incoming["transformer"] |= through([DASHBOARD], 8080)
        outgoing[DASHBOARD] |= through(["transformer"], 8080)
        outgoing[DASHBOARD] |= through(wanted["kubeflow"]["peers"], wanted["kubeflow"]["port"])
    if FEED in made.pods:
        incoming[FEED] = through(scrapers, 8087)
        outgoing[FEED] |= through(wanted["videos"]["peers"], *wanted["videos"]["ports"])
    for name, pod in made.pods.items():
        assert reach(made, pod["labels"], "ingress") == incoming[name], name
        assert reach(made, pod["labels"], "egress") == outgoing[name], name
        listening = {port["containerPort"] for container in pod["containers"] for port in container["ports"]}
        assert {port for _, port, _ in incoming[name]} <= listening, name
    assert reach(made, OURS, "ingress") == set(), "a pod of the release that no other policy knows"
    assert reach(made, OURS, "egress") == names


def test_metrics_are_collected_where_that_is_wished(made: Release) -> None:
    monitors = made.of_kind("PodMonitor")
    assert len(monitors) == made.values["podMonitor"]["enabled"]
    for one in monitors:
        assert all(selects(one["spec"]["selector"], pod["labels"]) for pod in made.pods.values())
        named_ports = {port["name"] for container, _ in made.processes.values() for port in container["ports"]}
        others = {"grpc", EVIDENTLY, DASHBOARD}
        scraped = {point["port"] for point in one["spec"]["podMetricsEndpoints"]}
        assert scraped == (named_ports | set(WORKERS.values())) - others
        assert made.values["podMonitor"]["labels"].items() <= one["metadata"]["labels"].items()


def test_alerts_are_those_of_the_rules_where_they_are_wished(made: Release) -> None:
    wanted = made.values["prometheusRule"]
    rules = made.of_kind("PrometheusRule")
    assert len(rules) == wanted["enabled"]
    for one in rules:
        text = (ROOT / "monitoring" / "alerts" / "rules.yaml").read_text(encoding="utf-8")
        assert one["spec"] == yaml.safe_load(text.replace("docs/runbook.md", wanted["runbook"]))
        assert wanted["labels"].items() <= one["metadata"]["labels"].items()


def test_replicas_are_guarded_and_scaled_where_there_are_several(made: Release) -> None:
    budgets = {
        one["metadata"]["labels"]["app.kubernetes.io/component"]: one for one in made.of_kind("PodDisruptionBudget")
    }
    assert budgets.keys() == {name for name in COMPONENTS if made.values[name]["minReplicas"] > 1}
    assert all(one["spec"]["maxUnavailable"] == 1 for one in budgets.values())
    for name, pod in made.components.items():
        least, most, metric = (made.values[name][key] for key in ("minReplicas", "maxReplicas", "scaleMetric"))
        assert (pod["minReplicas"], pod["maxReplicas"]) == (least, most)
        scaler = pod["annotations"]["serving.kserve.io/autoscalerClass"]
        assert scaler == (("keda" if metric == "rps" else "hpa") if most > least else "none"), name
        if metric == "rps":
            (scaled,) = (one["external"] for one in pod["autoScaling"]["metrics"])
            assert scaled["metric"]["serverAddress"] == made.values["keda"]["prometheus"]
            assert f'pod=~"interest-{name}-.*"' in scaled["metric"]["query"]
            assert scaled["target"]["value"] == str(made.values[name]["scaleTarget"])
        assert pod["deploymentStrategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_a_candidates_pods_do_not_hold_up_a_drain(made: Release) -> None:
    for one in made.of_kind("PodDisruptionBudget"):
        labels = made.pods[one["metadata"]["labels"]["app.kubernetes.io/component"]]["labels"]
        assert selects(one["spec"]["selector"], labels)
        assert not selects(one["spec"]["selector"], {**labels, OF: "new-model"})


def test_a_candidate_is_let_in_and_out_as_the_stable_predictor_is(made: Release) -> None:
    """By its labels, which are the stable one's and its experiment's."""
    labels = made.pods["predictor"]["labels"]
    for one in made.of_kind("NetworkPolicy"):
        selector = one["spec"]["podSelector"]
        assert selects(selector, labels) == selects(selector, {**labels, OF: "new-model"})


def test_the_operator_may_do_what_it_does_and_nothing_else(made: Release) -> None:
    if EXPERIMENTS not in made.pods:
        assert not made.of_kind("Role") + made.of_kind("RoleBinding") + made.of_kind("CustomResourceDefinition")
        return
    (role,) = made.of_kind("Role")
    wanted = {
        ("rapt.dev", "experiments"): ["get", "list", "watch", "create", "patch"],
        ("rapt.dev", "experiments/status"): ["patch"],
        ("serving.kserve.io", "inferenceservices"): ["get", "list", "create", "patch", "delete"],
        ("", "pods"): ["list"],
        ("", "events"): ["create"],
    }
    if made.values["model"]["digest"]:
        wanted["apps", "deployments"] = ["get", "patch"]
        assert role["rules"][-1]["resourceNames"] == [f"rapt-{FEED}"]
    found = {(*rule["apiGroups"], *rule["resources"]): rule["verbs"] for rule in role["rules"]}
    assert found == wanted
    (binding,) = made.of_kind("RoleBinding")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    (subject,) = binding["subjects"]
    assert (subject["name"], subject["namespace"]) == (made.pods[EXPERIMENTS]["serviceAccountName"], NAMESPACE)
    assert len(made.of_kind("CustomResourceDefinition")) == made.values["experiments"]["definition"]


def test_an_upgrade_brings_the_definition_and_a_goodbye_leaves_it() -> None:
    (definition,) = release("default").of_kind("CustomResourceDefinition")
    assert definition["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert not (rendered.CHART / "crds").exists(), "helm never upgrades what lies there"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            "{labels: {enabled: false}, reports: {enabled: false}, evidently: {enabled: false}}",
            "experiments.enabled without",
        ),
        ("{labels: {enabled: false}, experiments: {enabled: false}}", "reports.enabled without labels.enabled"),
        ("reports: {enabled: false}", "evidently.enabled without reports.enabled"),
    ],
)
def test_what_stands_on_another_needs_it(values: str, told: str) -> None:
    assert told in helm("template", values=values).stderr


def test_pages_have_services_that_lead_to_them(made: Release) -> None:
    services = {one["metadata"]["name"]: one["spec"] for one in made.of_kind("Service")}
    assert services.keys() == {f"rapt-{name}" for name in PAGES if name in made.pods}
    for name in PAGES:
        if name in made.pods:
            spec = services[f"rapt-{name}"]
            (port,) = spec["ports"]
            (listening,) = made.pods[name]["containers"][0]["ports"]
            assert [
                one for one, pod in made.pods.items() if selects({"matchLabels": spec["selector"]}, pod["labels"])
            ] == [name]
            assert (port["port"], port["targetPort"]) == (80, listening["containerPort"])
            assert spec.get("type", "ClusterIP") == "ClusterIP", "no door to the outside"


def test_reports_are_made_by_the_clock(made: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = made.of_kind("CronJob")
    assert len(jobs) == made.values["reports"]["enabled"]
    for job in jobs:
        assert job["spec"]["schedule"] == made.values["reports"]["schedule"]
        template = job["spec"]["jobTemplate"]["spec"]["template"]
        pod, labels = template["spec"], template["metadata"]["labels"]
        (container,) = pod["containers"]
        assert parsed(container, [], monkeypatch).days == made.values["reports"]["keepDays"]
        assert ObjectStore.from_env(environment(container)).bucket == made.values["objectStore"]["bucket"]
        assert (pod["restartPolicy"], pod["automountServiceAccountToken"]) == ("Never", False)
        assert container["securityContext"] == made.processes[REPORTS][0]["securityContext"]
        assert pod["securityContext"] == made.pods[REPORTS]["securityContext"]
        assert container["resources"] == made.values["reports"]["jobResources"]
        assert container["image"] == made.values["images"]["monitoring"]
        if made.values["networkPolicy"]["enabled"]:
            assert reach(made, labels, "egress") == reach(made, made.pods[REPORTS]["labels"], "egress")


def test_grafanas_dashboards_are_those_of_the_code(made: Release) -> None:
    wanted = made.values["grafana"]
    maps = made.of_kind("ConfigMap")
    assert len(maps) == wanted["enabled"]
    for one in maps:
        assert wanted["labels"].items() <= one["metadata"]["labels"].items()
        found = {name: json.loads(text) for name, text in one["data"].items()}
        assert found == {f"{one.uid}.json": dashboards.build(one, wanted["runbook"]) for one in dashboards.BOARDS}, (
            "renew them: rapt dashboards write charts/rapt/dashboards"
        )


@pytest.mark.parametrize("component", COMPONENTS)
def test_more_replicas_at_least_than_at_most_are_refused(component: str) -> None:
    done = helm("template", values=f"{component}: {{minReplicas: 5, maxReplicas: 4}}")
    assert f"{component}.minReplicas is 5, over maxReplicas 4" in done.stderr


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ("{scaleTarget: 101}", "transformer.scaleTarget is 101 percent of cpu, over 100"),
        ("{scaleMetric: rps}", "transformer.scaleMetric is rps, which is read from keda.prometheus: set that"),
    ],
)
def test_a_target_that_means_nothing_is_refused(values: str, told: str) -> None:
    assert told in helm("template", values=f"transformer: {values}").stderr


def test_a_pod_has_time_to_end(made: Release) -> None:
    delay, grace = (made.values["shutdown"][key] for key in ("delaySeconds", "graceSeconds"))
    asked = {name: one for name, (one, _) in made.processes.items() if name not in WORKERS}
    slept = {name: one["lifecycle"]["preStop"]["sleep"]["seconds"] for name, one in asked.items()}
    feeder = slept.pop("feeder")
    assert set(slept.values()) == {delay}
    assert feeder >= delay + grace, "the transformer answers from the feeder's state"
    for name, pod in made.pods.items():
        assert pod["terminationGracePeriodSeconds"] > delay + grace + max(FLUSH_S, LAST_CHECKPOINT_S), name


def test_viewers_states_fit_into_memory(made: Release) -> None:
    feeder, pod = made.processes["feeder"]
    slab = made.values["feeder"]["stateMemoryMiB"]
    for part, slabs in (("requests", 1), ("limits", 2)):
        base = mebibytes(made.values["feeder"]["resources"][part]["memory"])
        assert mebibytes(feeder["resources"][part]["memory"]) == base + slabs * slab
    (state,) = (one["emptyDir"] for one in pod["volumes"] if one["name"] == "state")
    assert state["medium"] == "Memory"
    assert mebibytes(state["sizeLimit"]) >= 2 * slab, "one that is made while another is still read"


def test_the_kubelet_gives_two_states_room(made: Release) -> None:
    """It makes a volume in memory no larger than the limits of the pod's containers together."""
    limits = [mebibytes(one["resources"]["limits"]["memory"]) for one in made.pods["transformer"]["containers"]]
    assert sum(limits) >= 2 * made.values["feeder"]["stateMemoryMiB"]


def parsed(container: dict[str, Any], more: list[str], monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """What the container's program takes its arguments for; it ends the test with its usage if one is unknown."""

    class Parsed(Exception):
        """Ends the program where its work would begin."""

    module, *arguments = container["args"]
    parse = argparse.ArgumentParser.parse_args

    def parse_and_end(parser: argparse.ArgumentParser, *_: Any) -> None:
        parser.allow_abbrev = False
        raise Parsed(parse(parser, [*arguments, *more]))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_end)
    folder = importlib.util.find_spec(module)
    assert folder is not None, module
    program = f"{module}.__main__" if folder.submodule_search_locations is not None else module
    with pytest.raises(Parsed) as caught:
        importlib.import_module(program).main()
    found: argparse.Namespace = caught.value.args[0]
    return found


MODULES = {
    LABELS: "monitoring.labels",
    EXPERIMENTS: "monitoring.operator",
    REPORTS: "monitoring.reports",
    EVIDENTLY: "monitoring.reports.workspace",
    DASHBOARD: "monitoring.app",
}


@pytest.mark.parametrize("name", ["feeder", *WORKERS, *COMPONENTS])
def test_programs_accept_their_arguments(made: Release, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in WORKERS and name not in made.pods:
        return
    container, pod = made.processes[name]
    assert container["args"][0] == MODULES.get(name, f"inference.{name.replace('-', '_')}")
    ports = [(port["name"], port["containerPort"]) for port in container["ports"]]
    if name == "feeder":
        values = parsed(container, [], monkeypatch)
        assert (values.host, [("feeder", values.port)]) == ("0.0.0.0", ports)  # noqa: S104 - in a pod
        return
    if name in WORKERS:
        assert container["command"] == ["python", "-m"], "training and monitoring images have no entrypoint"
        values = parsed(container, [], monkeypatch)
        assert (values.host, [(WORKERS[name], values.port)]) == ("0.0.0.0", ports)  # noqa: S104 - in a pod
        assert name != FEED or values.model == made.values["model"]["digest"]
        return
    assert container is pod["containers"][0], "KServe adds to the first container, and its Service leads to that"
    service = made.service["metadata"]["name"]
    predictor = ["--predictor_host", f"{service}-predictor.{NAMESPACE}"]
    by_kserve = {
        "transformer": ["--model_name", service, *predictor],
        "explainer": [*predictor, "--http_port", "8080"],
    }
    values = parsed(container, by_kserve.get(name, []), monkeypatch)
    wished = made.values[name]
    assert (values.host, values.workers, values.model_name) == ("0.0.0.0", wished["workers"], "interest")  # noqa: S104
    assert values.grace_s == made.values["shutdown"]["graceSeconds"]
    assert [("http1", values.http_port), ("grpc", values.grpc_port)] == ports, "the first is the Service's"
    if name == "transformer":
        assert (values.deadline_ms, values.oldest_state_ms) == (wished["deadlineMs"], wished["oldestStateMs"])
        assert values.explainer_host == f"{service}-explainer.{NAMESPACE}"
    else:
        assert values.model == made.values["model"]["digest"]


def test_programs_read_their_environment(made: Release) -> None:
    for name, (container, pod) in made.processes.items():
        env = environment(container)
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        if name not in (REPORTS, EVIDENTLY):
            kafka = KafkaSettings.from_env(env)
            assert kafka.bootstrap == made.values["kafka"]["bootstrap"]
            assert kafka.security is Security.SASL_SSL
        if name != "transformer":
            store = ObjectStore.from_env(env)
            assert store.bucket == made.values["objectStore"]["bucket"]
            assert env["AWS_DEFAULT_REGION"] == made.values["objectStore"]["region"]
        if name == LABELS:
            labels = LabelSettings.from_env(env)
            wanted = made.values["labels"]
            assert (labels.window_ms, labels.slack_ms, labels.keep_days) == (
                1000 * wanted["windowSeconds"], 1000 * wanted["slackSeconds"], wanted["keepDays"]
            )  # fmt: skip
        if name == "feeder":
            settings = FeederSettings.from_env(env)
            assert settings.memory_mib == made.values["feeder"]["stateMemoryMiB"]
            assert settings.checkpoint_s == made.values["feeder"]["checkpointSeconds"]
        if name in {"feeder", "transformer"}:
            assert mounts[env["RAPT_STATE_FOLDER"]] == "state"
        elif name == EXPERIMENTS:
            assert env["RAPT_RELEASE"] == made.service["metadata"]["labels"]["app.kubernetes.io/instance"]
        else:
            (cache,) = (one for one in pod["volumes"] if one["name"] == mounts[env["RAPT_HOME"]])
            assert cache["emptyDir"]["sizeLimit"] == made.values["cacheSizeLimit"]


def test_every_variable_is_read_by_the_code(made: Release) -> None:
    for name, (container, _) in made.processes.items():
        own = {one["name"] for one in made.values[VALUES.get(name, name)]["extraEnv"]}
        assert environment(container).keys() - own - READ_BY_OTHERS - PUT_TOGETHER <= strings(), name


@cache
def strings() -> set[str]:
    """Every string in the sources."""
    trees = [ast.parse(path.read_bytes()) for folder in SOURCES for path in (ROOT / folder).rglob("*.py")]
    constants = [node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return {one for one in constants if isinstance(one, str)}


class Recorded(Kubectl):
    """A cluster without Secrets that notes what is made."""

    def __init__(self) -> None:
        super().__init__("none", NAMESPACE)
        self.keys: dict[str, set[str]] = {}

    def items(self, _kind: str) -> list[dict[str, Any]]:
        return []

    def apply(self, *objects: Any) -> None:
        self.keys |= {one["metadata"]["name"]: set(one["data"]) for one in objects}


@pytest.fixture(scope="module")
def cluster_keys() -> dict[str, set[str]]:
    """The Secrets that `rapt cluster create` makes, and their keys."""
    cluster = Recorded()
    secrets.make_secrets(cluster, kafka=True)
    return cluster.keys


def test_passwords_come_from_the_secrets_that_are_made(made: Release, cluster_keys: dict[str, set[str]]) -> None:
    assert not made.of_kind("Secret")
    asked: dict[str, set[str]] = {}
    for one in named(made.service, "secretKeyRef"):
        asked.setdefault(one["name"], set()).add(one["key"])
    for one in named(made.service, "secret"):
        asked.setdefault(one["name"], set()).update(item["key"] for item in one["items"])
    others = {*WORKERS, "gateway", secrets.SERVER}
    assert asked == {name: keys for name, keys in cluster_keys.items() if name not in others}
    for name, (container, _) in made.processes.items():
        assert "envFrom" not in container, name
        for one in container["env"]:
            if re.search("PASSWORD|SECRET|ACCESS_KEY|TOKEN", one["name"]) and not one["name"].endswith("_FILE"):
                assert "secretKeyRef" in one["valueFrom"], one["name"]


def test_a_program_is_given_its_own_password_alone(made: Release) -> None:
    for name, (container, pod) in made.processes.items():
        if name in (REPORTS, EVIDENTLY):
            assert not any("projected" in one for one in pod["volumes"]), "they read what is written already"
            continue
        kafka = KafkaSettings.from_env(environment(container))
        volumes = {one["name"]: one.get("projected", {}).get("sources", []) for one in pod["volumes"]}
        files = {
            f"{mount['mountPath']}/{item['path']}": (source["secret"]["name"], item["key"])
            for mount in container["volumeMounts"]
            for source in volumes[mount["name"]]
            for item in source["secret"]["items"]
        }
        assert kafka.username == made.values["kafka"]["users"][name] == name
        assert files == {kafka.password_file: (name, "password"), kafka.ca_file: (secrets.CA, "ca.crt")}


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ("{nothing: 1}", "nothing"),
        ("{transformer: {replicas: 1}}", "transformer.replicas"),
        ("{networkPolicy: {kafka: {ports: 1}}}", "networkPolicy.kafka.ports"),
        ("{images: {serving: 'rapt/serving:latest'}}", "images.serving"),
        ("{images: {explainer: 'rapt/explainer:latest'}}", "images.explainer"),
        ("{images: {serving: rapt/serving}}", "images.serving"),
        ("{images: {explainer: 'registry:5000/explainer'}}", "images.explainer"),
        ("{images: {serving: null}}", "images.serving"),
        ("{images: {serving: 'rapt/serving@sha256:0123'}}", "images.serving"),
        ("{images: {pullPolicy: Sometimes}}", "images.pullPolicy"),
        *((f"{{{name}: {{minReplicas: -1}}}}", f"{name}.minReplicas") for name in COMPONENTS),
        *((f"{{{name}: {{maxReplicas: 0}}}}", f"{name}.maxReplicas") for name in COMPONENTS),
        *((f"{{{name}: {{workers: '2'}}}}", f"{name}.workers") for name in COMPONENTS),
        ("{predictor: {scaleTarget: 101}}", "predictor.scaleTarget"),
        ("{predictor: {resources: {limits: {memory: 1Gb}}}}", "predictor.resources.limits.memory"),
        ("{explainer: {extraEnv: [{value: '1'}]}}", "explainer.extraEnv"),
        ("{feeder: {resources: {limits: {memory: 1Gi}}}}", "feeder.resources.limits.memory"),
        ("{feeder: {stateMemoryMiB: 4}}", "feeder.stateMemoryMiB"),
        ("{model: {digest: abc}}", "model.digest"),
        (f"{{model: {{digest: {'G' * 64}}}}}", "model.digest"),
        ("{kafka: {bootstrap: kafka}}", "kafka.bootstrap"),
        ("{objectStore: {endpoint: object-store}}", "objectStore.endpoint"),
        ("{networkPolicy: {enabled: 'yes'}}", "networkPolicy.enabled"),
        ("{networkPolicy: {dns: {port: 70000}}}", "networkPolicy.dns.port"),
        ("{networkPolicy: {callers: {podSelector: {}}}}", "networkPolicy.callers"),
        ("{shutdown: {delaySeconds: 0}}", "shutdown.delaySeconds"),
        ("{nodeSelector: {disk: 1}}", "nodeSelector.disk"),
        ("{cacheSizeLimit: much}", "cacheSizeLimit"),
        ("{labels: {windowSeconds: 0}}", "labels.windowSeconds"),
        ("{prometheusRule: {runbook: ''}}", "prometheusRule.runbook"),
        ("{labels: {slackSeconds: -1}}", "labels.slackSeconds"),
        ("{experiments: {enabled: 'yes'}}", "experiments.enabled"),
        ("{experiments: {replicas: 2}}", "experiments.replicas"),
        ("{images: {monitoring: 'rapt/monitoring:latest'}}", "images.monitoring"),
        ("{networkPolicy: {apiServer: {ports: []}}}", "networkPolicy.apiServer.ports"),
    ],
)
def test_wrong_values_are_refused_by_name(values: str, where: str) -> None:
    done = helm("template", values=values)
    assert done.returncode != 0, "taken"
    *above, name = where.split(".")
    known = r"[./]".join(above) + r"([./]|'?: ([Aa]dditional|missing) propert\w+ '?)" + name
    assert re.search(known, done.stderr), done.stderr


def test_the_schema_knows_every_value_and_no_other() -> None:
    schema = json.loads((rendered.CHART / "values.schema.json").read_text(encoding="utf-8"))
    assert set(schema["properties"].pop("global"))  # helm's own
    same(schema, defaults())
    for one in maps(schema):
        assert "properties" not in one or one["additionalProperties"] is False, f"takes unknown fields: {one}"


def maps(tree: Any) -> Iterator[dict[str, Any]]:
    """Every map in it, itself among them."""
    if isinstance(tree, dict):
        yield tree
    for one in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from maps(one)


def same(schema: dict[str, Any], values: dict[str, Any], path: str = "values") -> None:
    """Check that the schema's fields are the values'."""
    if "properties" in schema and values:
        assert schema["properties"].keys() == values.keys(), path
        for name, one in values.items():
            same(schema["properties"][name], one, f"{path}.{name}")


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="the overlays are built by kubectl")
def test_defaults_fit_the_overlay(cluster_keys: dict[str, set[str]]) -> None:
    made, overlay = release("default"), build(MANIFESTS / "overlays" / "kind")
    templates, policies = pods_of(overlay), of_kind(overlay, "NetworkPolicy")
    host, _, port = made.values["kafka"]["bootstrap"].partition(":")
    store = urlsplit(made.values["objectStore"]["endpoint"])
    for name, service, asked, pod in (
        ("kafka", host, int(port), "rapt-kafka"),
        ("objectStore", store.hostname, store.port, "object-store"),
    ):
        labels = templates[pod]["metadata"]["labels"]
        spec = of_kind(overlay, "Service")[service]["spec"]
        assert selects({"matchLabels": spec["selector"]}, labels), name
        assert [one["port"] for one in spec["ports"]] == [asked]
        wanted = made.values["networkPolicy"][name]
        assert any(selects(peer["podSelector"], labels) for peer in wanted["peers"]), name
        listening = {one["containerPort"] for c in templates[pod]["spec"]["containers"] for one in c.get("ports", [])}
        assert wanted["port"] in listening, name
        (rule,) = policies[pod.removeprefix("rapt-")]["spec"]["ingress"]
        assert [one["port"] for one in rule["ports"]] == [wanted["port"]]
        for program, ours in made.pods.items():
            let_in = any(selects(peer["podSelector"], ours["labels"]) for peer in rule["from"])
            assert let_in is (name == "objectStore" or program not in (REPORTS, EVIDENTLY)), f"{name}: {program}"
        for policy in made.of_kind("NetworkPolicy"):
            assert not selects(policy["spec"]["podSelector"], labels), f"{policy['metadata']['name']} shuts {name} off"


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="the overlays are built by kubectl")
def test_defaults_fit_strimzi() -> None:
    kafka, overlay = defaults()["kafka"], build(MANIFESTS / "overlays" / "production")
    ((name, cluster),) = of_kind(overlay, "Kafka").items()
    (listener,) = cluster["spec"]["kafka"]["listeners"]
    assert kafka["bootstrap"] == f"{name}-kafka-bootstrap:{listener['port']}"
    assert kafka["caSecret"] == f"{name}-cluster-ca-cert"
    assert set(kafka["users"].values()) <= of_kind(overlay, "KafkaUser").keys()
