"""Experiments as resources, on a real API server, with the rights that the chart gives."""

from __future__ import annotations

import copy
import time
from typing import Any

import pytest
from msgspec.structs import replace

from interest.errors import InvalidExperiment
from interest.experiments.decision import Phase, Status
from interest.experiments.spec import parse
from monitoring.operator.errors import KubernetesDenied, KubernetesUnavailable, ObjectChanged, ObjectMissing
from monitoring.operator.records import KubernetesRecords
from tests.monitoring.operator.apiserver import ApiServer
from tests.monitoring.operator.conftest import DEFINITIONS, EVENTS, EXPERIMENTS
from tests.monitoring.operator.objects import GOOD, experiment

pytestmark = pytest.mark.cluster
MERGE = "application/merge-patch+json"


@pytest.fixture
def records(server: ApiServer) -> KubernetesRecords:
    return KubernetesRecords(server.api())


def put(server: ApiServer, name: str = "new-model", **spec: Any) -> dict[str, Any]:
    return server.ask("POST", EXPERIMENTS, experiment(name, **spec))


def status_of(server: ApiServer, name: str = "new-model") -> dict[str, Any]:
    found: dict[str, Any] = server.ask("GET", f"{EXPERIMENTS}/{name}").get("status", {})
    return found


def events(server: ApiServer) -> list[tuple[str, str, str]]:
    return [(one["type"], one["reason"], one["message"]) for one in server.ask("GET", EVENTS)["items"]]


def test_the_oldest_comes_first_whatever_its_name(server: ApiServer, records: KubernetesRecords) -> None:
    put(server, "z")
    second = time.time() // 1
    while time.time() // 1 == second:  # a resource's age is in seconds
        time.sleep(0.01)
    put(server, "a")
    put(server, "b")
    assert [one.experiment.name for one in records.all()] == ["z", "a", "b"]
    (created_ms, *_) = [one.status.created_ms for one in records.all()]
    assert abs(created_ms / 1000 - time.time()) < 60


def test_a_status_is_kept_and_told(server: ApiServer, records: KubernetesRecords) -> None:
    put(server)
    (kept,) = records.all()
    running = replace(kept.status, phase=Phase.RUNNING, share=0.05, reason="runs")
    records.note("new-model", running)
    records.note("new-model", replace(running, data_ms=5))
    records.note("new-model", replace(running, data_ms=5, share=0.25))
    assert records.all()[0].status == replace(running, data_ms=5, share=0.25)
    assert sorted(events(server)) == [
        ("Normal", "Running", "5% of the viewers: runs"),
        ("Normal", "Share", "25% of the viewers: runs"),
    ]


def test_of_two_operators_one_writes(server: ApiServer, records: KubernetesRecords) -> None:
    put(server)
    other = KubernetesRecords(server.api())
    (kept,) = records.all()
    (same,) = other.all()
    other.note("new-model", replace(same.status, phase=Phase.RUNNING, share=0.05))
    with pytest.raises(ObjectChanged):
        records.note("new-model", replace(kept.status, phase=Phase.ROLLED_BACK))
    assert status_of(server)["phase"] == "Running"
    assert [reason for _, reason, _ in events(server)] == ["Running"]
    (now,) = records.all()
    records.note("new-model", replace(now.status, phase=Phase.ROLLED_BACK))
    assert status_of(server)["phase"] == "RolledBack"


def test_a_label_or_a_pause_written_meanwhile_is_no_conflict(server: ApiServer, records: KubernetesRecords) -> None:
    put(server)
    (kept,) = records.all()
    change = {"metadata": {"labels": {"team": "ranking"}}, "spec": {"paused": True}}
    server.ask("PATCH", f"{EXPERIMENTS}/new-model", change, MERGE)
    records.note("new-model", replace(kept.status, phase=Phase.RUNNING))
    (now,) = records.all()
    assert now.status.phase is Phase.RUNNING and now.experiment.spec.paused


def test_one_that_was_made_anew_meanwhile_is_a_conflict(server: ApiServer, records: KubernetesRecords) -> None:
    put(server)
    (kept,) = records.all()
    server.ask("DELETE", f"{EXPERIMENTS}/new-model")
    put(server)
    with pytest.raises(ObjectChanged):
        records.note("new-model", replace(kept.status, phase=Phase.RUNNING))
    assert status_of(server) == {}


def test_what_is_gone_takes_no_status(server: ApiServer, records: KubernetesRecords) -> None:
    put(server)
    (kept,) = records.all()
    server.ask("DELETE", f"{EXPERIMENTS}/new-model")
    with pytest.raises(ObjectMissing):
        records.note("new-model", replace(kept.status, phase=Phase.RUNNING))


def test_what_is_being_deleted_counts_as_gone(server: ApiServer, records: KubernetesRecords) -> None:
    put(server)
    put(server, "other")
    held = {"metadata": {"finalizers": ["rapt.dev/candidate"]}}
    server.ask("PATCH", f"{EXPERIMENTS}/new-model", held, MERGE)
    server.ask("DELETE", f"{EXPERIMENTS}/new-model")
    assert [one.experiment.name for one in records.all()] == ["other"]


def test_one_that_cannot_be_run_is_told_so_and_stops_no_other(
    server: ApiServer, records: KubernetesRecords, definition: dict[str, Any]
) -> None:
    """As when it was made under an older definition."""
    loose = copy.deepcopy(definition)
    fields = loose["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del fields["share"]["x-kubernetes-validations"]
    server.apply(loose, DEFINITIONS)
    try:
        server.until(lambda: put(server, "bad", share=[0.5, 0.25]), "the rule is gone")
        put(server, "good")
        for _ in range(3):
            assert [one.experiment.name for one in records.all()] == ["good"]
    finally:
        server.apply(definition, DEFINITIONS)
    why = "experiment 'bad': spec.share: [0.5, 0.25] must grow from step to step"
    assert status_of(server, "bad")["reason"] == f"refused: {why}"
    assert events(server) == [("Warning", "Refused", why)], "once"


def test_the_api_server_may_be_away(server: ApiServer, records: KubernetesRecords) -> None:
    put(server)
    assert [one.experiment.spec.candidate for one in records.all()] == [GOOD]
    server.kill()
    try:
        with pytest.raises(KubernetesUnavailable):
            records.all()
    finally:
        server.start()
    server.until(lambda: server.ask("GET", EXPERIMENTS), "it has read what it keeps")
    (kept,) = records.all()
    records.note("new-model", replace(kept.status, phase=Phase.RUNNING))
    assert status_of(server)["phase"] == "Running"


def test_a_token_that_is_not_known_is_named(server: ApiServer) -> None:
    (server.folder / "nobody").write_text("nobody")
    with pytest.raises(KubernetesDenied, match="401"):
        KubernetesRecords(server.api("nobody")).all()


def test_the_chart_gives_these_rights_and_no_others(server: ApiServer) -> None:
    """As the API server understands them."""
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "rapt"}}
    found = server.ask("POST", "apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review, who="operator")
    rights = {
        (group, resource, verb)
        for rule in found["status"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if group not in {"authorization.k8s.io", "authentication.k8s.io"}
    }
    services, experiments = ("serving.kserve.io", "inferenceservices"), ("rapt.dev", "experiments")
    assert rights == {
        *((*experiments, verb) for verb in ("get", "list", "watch", "create", "patch")),
        ("rapt.dev", "experiments/status", "patch"),
        *((*services, verb) for verb in ("get", "list", "create", "patch", "delete")),
        ("", "pods", "list"),
        ("", "events", "create"),
        ("apps", "deployments", "get"),
        ("apps", "deployments", "patch"),
    }
    (apps,) = (one for one in found["status"]["resourceRules"] if one["apiGroups"] == ["apps"])
    assert apps["resourceNames"] == ["rapt-catalogue-feed"]


def test_a_default_status_is_that_of_a_new_one(server: ApiServer, records: KubernetesRecords) -> None:
    put(server)
    (kept,) = records.all()
    assert replace(kept.status, created_ms=0) == Status()


def test_what_a_pipeline_proposes_becomes_a_resource_once(server: ApiServer, records: KubernetesRecords) -> None:
    asked = parse(experiment("retrained", share=[0.5]))
    records.begin(asked, 0)
    records.begin(parse(experiment("retrained", share=[0.25])), 0)
    (kept,) = records.all()
    assert kept.experiment == asked


def test_a_proposal_that_the_api_server_refuses_is_an_invalid_experiment(records: KubernetesRecords) -> None:
    """So that it is told and dropped; as a failure of the API server it would be tried again before all else."""
    with pytest.raises(InvalidExperiment, match="422"):
        records.begin(parse(experiment("retrained", stepAfter="1." + 30 * "0" + "s")), 0)
