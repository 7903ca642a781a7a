"""What changes and what dies while callers ask: no wrong answer, no acknowledged event lost."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interest.bundle import MANIFEST, Bundle, open_bundle, seal
from rapt.cluster.create import CHART, IMAGES, have_chart, open_nodes
from rapt.cluster.programs import run
from rapt.cluster.status import status
from tests.cluster.deployed import Deployed

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]
VIEWERS, EVENTS = 20, 60
PREVIOUS = CHART.parents[1] / "tests" / "charts" / "previous"


@pytest.fixture(scope="session")
def second(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same model under another digest."""
    folder = tmp_path_factory.mktemp("second") / "bundle"
    shutil.copytree(bundle.folder, folder)
    about = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).unlink()
    return open_bundle(folder, seal(folder, {**about, "note": "the second"}))


def test_another_bundle_by_an_edit_of_the_values_fails_no_request(
    served: Deployed, bundle: Bundle, second: Bundle, tmp_path: Path
) -> None:
    values = tmp_path / "values.yaml"

    def serve(wanted: Bundle) -> None:
        before = served.pod("predictor")
        values.write_text(f"model: {{digest: {wanted.digest}}}\n")
        have_chart(replace(served.plan, values=(values,)))
        served.until(lambda: not served.cluster.get("pod", before), "the pod before is gone", 90)

    serve(bundle)
    served.publish(second)
    with served.beside("asks.py", "50") as asks:
        begun = time.monotonic()
        serve(second)
        print(f"swapped after {time.monotonic() - begun:.0f} s")
    found = asks.found()
    print(found)
    assert found["failures"] == []
    assert found["statuses"].keys() == {"200"}
    assert found["statuses"]["200"] > 200
    assert set(found["digests"]) == {bundle.digest, second.digest}
    assert found["digests"][-1] == second.digest


@pytest.mark.parametrize("component", ["kafka", "object-store", "transformer"])
def test_a_kill_loses_no_acknowledged_event_and_leaves_the_same_state(served: Deployed, component: str) -> None:
    users = [f"{component}-{viewer}" for viewer in range(VIEWERS)]
    with served.beside("sends.py", component, str(VIEWERS), str(EVENTS), "12") as sends:
        served.until(lambda: min(served.events_of(*users[:3])) > 5, "the first events count")
        served.kill(served.pod(component))
    assert sends.said == "acknowledged\n"
    served.until(lambda: served.events_of(*users) == [EVENTS] * VIEWERS, "every event counts")


def test_new_pods_of_everything_fail_no_request(served: Deployed, tmp_path: Path) -> None:
    """By an edit of the values, since KServe takes back what `kubectl rollout restart` writes."""
    components, values = ("predictor", "transformer", "explainer"), tmp_path / "values.yaml"
    values.write_text("podAnnotations: {example.com/restarted: now}\n")
    before = {served.pod(component) for component in components}
    with served.beside("asks.py", "45") as asks:
        have_chart(replace(served.plan, values=(values,)))
        settled(served)
        served.until(lambda: not before & {served.pod(component) for component in components}, "all pods are new", 60)
    found = asks.found()
    print(found)
    assert found["failures"] == [] and found["statuses"].keys() == {"200"}
    have_chart(served.plan)
    settled(served)


def test_a_drained_node_fails_no_request(served: Deployed, tmp_path: Path) -> None:
    """Two of each, on two nodes; the volumes stay where they are, so what is on them is not evicted."""
    cluster = served.cluster
    nodes = [one["metadata"]["name"] for one in cluster.items("nodes")]
    if len(nodes) < 2:
        pytest.skip("a drain needs two nodes; the cluster has one")
    (worker,) = open_nodes(cluster)
    (other,) = (one for one in nodes if one != worker)
    values = tmp_path / "values.yaml"
    two = "{minReplicas: 2, maxReplicas: 2}"
    values.write_text(f"{{predictor: {two}, transformer: {two}, explainer: {two}, catalogueFeed: {{enabled: false}}}}")
    images = (IMAGES["serving"], IMAGES["explainer"])
    run(["kind", "load", "docker-image", *images, "--name", served.plan.kind, "--nodes", other], deadline_s=300)
    cluster("taint", "node", other, "node-role.kubernetes.io/control-plane:NoSchedule-")

    def where() -> dict[str, list[str]]:
        """The nodes of each component's pods that are ready."""
        found: dict[str, list[str]] = {}
        for one in cluster.get("pods", "-l", "serving.kserve.io/inferenceservice")["items"]:
            if {"type": "Ready", "status": "True"}.items() <= _condition(one).items():
                found.setdefault(one["metadata"]["labels"]["component"], []).append(one["spec"]["nodeName"])
        return found

    def all_on(node: str) -> dict[str, list[str]]:
        return {name: [node, node] for name in ("predictor", "transformer", "explainer")}

    try:
        have_chart(replace(served.plan, values=(values,)))
        served.until(lambda: [len(found) for found in where().values()] == [2, 2, 2], "there are two of each")
        print(f"before the drain: {where()}")
        # Pods of one component leave one after the other, each when another is ready: the budgets see to that.
        drain = ("drain", worker, "--pod-selector=app.kubernetes.io/name=rapt", "--delete-emptydir-data")
        with served.beside("asks.py", "60") as asks:
            cluster(*drain, "--ignore-daemonsets", "--timeout=180s", deadline_s=190)
            served.until(lambda: where() == all_on(other), "all run on the other node")
        found = asks.found()
        print(found)
        assert found["failures"] == [] and found["statuses"].keys() == {"200"}
    finally:
        cluster("uncordon", worker)
        cluster("taint", "node", other, "node-role.kubernetes.io/control-plane:NoSchedule", "--overwrite")
        have_chart(served.plan)
        gone = ("delete", "pods", "-l", "app.kubernetes.io/name=rapt", f"--field-selector=spec.nodeName={other}")
        cluster(*gone, deadline_s=120)
    served.until(lambda: where() == {name: [worker] for name in all_on(worker)}, "all are back")


def test_the_release_before_is_upgraded_without_a_failed_request(served: Deployed, tmp_path: Path) -> None:
    cluster, values = served.cluster, tmp_path / "values.yaml"
    (before,) = PREVIOUS.glob("*.tgz")
    cluster.helm("upgrade", "rapt", str(before), "--reset-values", deadline_s=120)
    served.until(lambda: served.events_of("somebody") is not None, "the release before answers")
    settled(served)
    values.write_text(cluster.helm("get", "values", "rapt", "--all", "--output", "yaml"))
    with served.beside("asks.py", "45") as asks:
        cluster.helm("upgrade", "rapt", str(CHART), "--values", str(values), deadline_s=120)
        settled(served)
    found = asks.found()
    print(found)
    assert found["failures"] == [] and found["statuses"].keys() == {"200"}
    have_chart(served.plan)


def _condition(pod: dict[str, Any]) -> dict[str, Any]:
    return next((one for one in pod["status"].get("conditions", []) if one["type"] == "Ready"), {})


def settled(served: Deployed) -> None:
    """Wait until every Deployment has what it wants, and nothing of what was before."""
    for one in served.cluster.items("deployments"):
        served.cluster("rollout", "status", f"deployment/{one['metadata']['name']}", "--timeout=150s", deadline_s=160)


def test_what_is_taken_stays_within_what_is_asked_for(served: Deployed) -> None:
    """Under load, printed as the table of docs/cluster.md; the kubelet has looked by the end of it."""
    with served.beside("asks.py", "40"), served.beside("sends.py", "taken", "20", "600", "35"):
        pass
    found = [one for one in status(served.cluster) if one.component != "gateway"]
    for one in found:
        assert one.memory is not None and one.cpu is not None
        taken, asked, allowed = (
            round(figure / 2**20) for figure in (one.memory, one.memory_requested, one.memory_limit)
        )
        cores = f"{one.cpu:.2f} | {one.cpu_requested:g} / {one.cpu_limit:g}"
        print(f"| {one.component}, {one.container} | {cores} | {taken} | {asked} / {allowed} |")
    assert {one.component for one in found} >= {"transformer", "predictor", "explainer", "catalogue-feed", "kafka"}
    assert [one.container for one in found if (one.memory or 0) > one.memory_requested] == []


def test_uninstalling_leaves_data_and_nothing_else(served: Deployed) -> None:
    """And the kind Experiment, with what was tried; installing again finds all of it."""
    cluster, users = served.cluster, ["kept-0", "kept-1", "kept-2"]
    with served.beside("sends.py", "kept", "3", "5", "1"):
        pass
    served.until(lambda: served.events_of(*users) == [5, 5, 5], "the events count")
    about = {"apiVersion": "rapt.dev/v1alpha1", "kind": "Experiment", "metadata": {"name": "tried"}}
    cluster.apply({**about, "spec": {"candidate": "0" * 64}})
    served.until(lambda: tried(served).get("finished", False), lambda: f"it is rolled back: {tried(served)}", 60)
    cluster.helm("uninstall", "rapt", "--wait", deadline_s=120)
    kinds = ("deployments", "services", "pods", "networkpolicies", "poddisruptionbudgets", "serviceaccounts",
             "roles", "rolebindings", "inferenceservices", "horizontalpodautoscalers", "configmaps",
             "secrets")  # fmt: skip

    def left() -> list[str]:
        return [
            f"{kind}/{one['metadata']['name']}"
            for kind in kinds
            for one in cluster.items(kind)
            if one["metadata"].get("labels", {}).get("app.kubernetes.io/name") == "rapt"
            or one["metadata"]["name"].startswith("interest")
        ]

    served.until(lambda: left() == [], lambda: f"nothing of the release is left but {left()}", 60)
    kept = tried(served)
    assert kept["phase"] == "RolledBack" and "the store has no model" in kept["reason"]
    have_chart(served.plan)
    served.until(lambda: served.events_of(*users) == [5, 5, 5], "the viewers' states are back")
    settled(served)
    assert tried(served) == kept
    cluster("delete", "experiment", "tried", "--timeout=60s", deadline_s=70)


def tried(served: Deployed) -> dict[str, Any]:
    """The status of the experiment `tried`."""
    found: dict[str, Any] = served.cluster.get("experiment", "tried").get("status", {})
    return found
