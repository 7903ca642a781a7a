"""InferenceServices as the world of experiments, on a real API server; pods' answers come from loopback addresses."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from monitoring.operator.errors import ObjectChanged, StableMissing
from monitoring.operator.predictors import candidate, pinned
from monitoring.operator.world import KubernetesWorld
from tests.monitoring.operator.apiserver import NAMESPACE, ApiServer
from tests.monitoring.operator.conftest import EXPERIMENTS, PODS, SERVICE
from tests.monitoring.operator.objects import GOOD, OTHER, STABLE, experiment, stable
from tests.ports import free_ports
from wire import models
from wire.http import reply, serving
from wire.objects import ObjectStore

pytestmark = pytest.mark.cluster
MERGE = "application/merge-patch+json"
NAME = "trial-new-model"
PINNED = "0123456789abcdef" * 4
FEED = f"apis/apps/v1/namespaces/{NAMESPACE}/deployments"


class Cluster:
    """What the tests put beside the operator."""

    def __init__(self, server: ApiServer, store: ObjectStore, stack: ExitStack) -> None:
        self.server, self.store, self.stack = server, store, stack
        self.port = free_ports()
        self.world = KubernetesWorld(server.api(), store, "rapt", self.port)
        for digest in (STABLE, GOOD, OTHER):
            store.put_bytes(f"models/{digest}.json", f'{{"digest": "{digest}", "published_at_ms": 1}}'.encode())
        models.promote(store, STABLE)

    def has_stable(self, case: str = "default") -> dict[str, Any]:
        return self.server.ask("POST", SERVICE, stable(case))

    def has_experiment(self, name: str = "new-model") -> dict[str, Any]:
        return self.server.ask("POST", EXPERIMENTS, experiment(name))

    def has_pod(self, service: str, number: int, *, ready: bool = True, **says: object) -> None:
        """A predictor's pod at 127.0.0.NUMBER; it answers when it `says` something."""
        name, labels = f"{service}-{number}", {"serving.kserve.io/inferenceservice": service, "component": "predictor"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
               "spec": {"containers": [{"name": "kserve-container", "image": "rapt/serving:0.1.0"}]}}  # fmt: skip
        self.server.ask("POST", PODS, pod)
        address = f"127.0.0.{number}"
        self.pod_is(name, podIP=address, podIPs=[{"ip": address}], phase="Running",
                    conditions=[{"type": "Ready", "status": str(ready)}])  # fmt: skip
        if says:
            self.stack.enter_context(serving(address, self.port, {"/status": lambda: reply(says)}))

    def pod_is(self, name: str, **status: Any) -> None:
        self.server.ask("PATCH", f"{PODS}/{name}/status", {"status": status}, MERGE)

    def service(self, name: str = NAME) -> dict[str, Any]:
        return self.server.ask("GET", f"{SERVICE}/{name}")

    def is_ready(self, ready: bool, message: str = "") -> None:
        """KServe's part."""
        told = {"type": "PredictorReady", "status": str(ready), "message": message}
        self.server.ask("PATCH", f"{SERVICE}/{NAME}/status", {"status": {"conditions": [told]}}, MERGE)


@pytest.fixture
def cluster(server: ApiServer, object_store_env: dict[str, str]) -> Iterator[Cluster]:
    bucket = f"world-{secrets.token_hex(4)}"
    store = ObjectStore.from_env({**object_store_env, "RAPT_S3_BUCKET": bucket})
    with ExitStack() as stack:
        yield Cluster(server, store, stack)


def test_what_is_served_is_what_the_pointer_or_the_chart_says(cluster: Cluster) -> None:
    assert cluster.world.served() == "", "no release"
    cluster.has_stable()
    assert cluster.world.served() == STABLE
    cluster.server.ask("DELETE", f"{SERVICE}/interest")
    cluster.has_stable("pinned-model")
    assert cluster.world.served() == PINNED


def test_a_candidate_is_the_stable_predictor_with_another_model(cluster: Cluster) -> None:
    cluster.has_stable("production")
    owner = cluster.has_experiment()
    found = cluster.world.candidate("new-model", GOOD)
    assert (found.address, found.waits) == (f"{NAME}-predictor.rapt", f"its predictor {NAME} begins")
    made, like = cluster.service(), stable("production")
    assert pinned(made["spec"]["predictor"]) == GOOD
    assert made["spec"].keys() == {"predictor"}
    ours, theirs = made["spec"]["predictor"], like["spec"]["predictor"]
    assert ours["containers"][0].pop("args") == [*theirs["containers"][0].pop("args"), f"--model={GOOD}"]
    assert ours.pop("labels") == {**theirs.pop("labels"), "rapt.dev/experiment": "new-model"}
    assert ours == theirs
    about = made["metadata"]
    assert about["annotations"] == {"serving.kserve.io/deploymentMode": "Standard"}
    assert about["labels"] == {**like["metadata"]["labels"], "rapt.dev/experiment": "new-model"}
    (reference,) = about["ownerReferences"]
    assert (reference["kind"], reference["uid"]) == ("Experiment", owner["metadata"]["uid"])


def test_a_candidate_is_as_kserve_wants_it() -> None:
    jsonschema = pytest.importorskip("jsonschema_rs")
    from tests.charts.schemas import of_model

    owner = experiment("a" * 40)
    owner["metadata"]["uid"] = "u"
    for case in ("default", "production", "keda", "pinned-model"):
        made = candidate(stable(case), owner, GOOD)
        jsonschema.validator_for(of_model("V1beta1InferenceService")).validate(made)
        assert len(f"isvc.{made['metadata']['name']}-predictor") <= 63, "KServe's label of its pods"
        assert pinned(made["spec"]["predictor"]) == GOOD


def test_kedas_query_is_of_the_candidates_own_pods() -> None:
    owner = experiment()
    owner["metadata"]["uid"] = "u"
    (metric,) = candidate(stable("keda"), owner, GOOD)["spec"]["predictor"]["autoScaling"]["metrics"]
    assert f'pod=~"{NAME}-predictor-.*"' in metric["external"]["metric"]["query"]


def test_a_candidate_is_asked_when_it_is_ready(cluster: Cluster) -> None:
    cluster.has_stable()
    cluster.has_experiment()
    cluster.world.candidate("new-model", GOOD)
    assert cluster.world.candidate("new-model", GOOD).waits == f"its predictor {NAME} is not ready: it begins"
    cluster.is_ready(False, "admission refused its pod")
    assert "not ready: admission refused its pod" in cluster.world.candidate("new-model", GOOD).waits
    cluster.has_pod(NAME, 2, ready=False, waits_for=f"bundle {GOOD[:12]} is refused")
    assert f"not ready: bundle {GOOD[:12]} is refused" in cluster.world.candidate("new-model", GOOD).waits
    cluster.is_ready(True)
    assert cluster.world.candidate("new-model", GOOD).waits == ""


def test_what_the_kubelet_says_of_a_candidate_is_passed_on(cluster: Cluster) -> None:
    cluster.has_stable()
    cluster.has_experiment()
    cluster.world.candidate("new-model", GOOD)
    cluster.has_pod(NAME, 2, ready=False)
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    container = {"name": "kserve-container", "image": "rapt/serving:0.1.0", "imageID": "", "ready": False,
                 "restartCount": 0, "state": {"waiting": waiting}}  # fmt: skip
    cluster.pod_is(f"{NAME}-2", containerStatuses=[container],
                   conditions=[{"type": "PodScheduled", "status": "False", "message": "0/2 nodes"}])  # fmt: skip
    waits = cluster.world.candidate("new-model", GOOD).waits
    assert "no node takes its pod: 0/2 nodes; ImagePullBackOff: no such image" in waits


def test_a_model_that_the_store_does_not_have_is_hopeless(cluster: Cluster) -> None:
    cluster.has_stable()
    cluster.has_experiment()
    assert "no model dddddddddddd" in cluster.world.lacks("d" * 64)
    assert cluster.world.lacks(GOOD) == ""
    assert cluster.world.candidates() == []


def test_candidates_come_and_go(cluster: Cluster) -> None:
    cluster.has_stable()
    for name in ("one", "two"):
        cluster.has_experiment(name)
        cluster.world.candidate(name, GOOD)
    assert sorted(cluster.world.candidates()) == ["one", "two"]
    cluster.world.end_candidate("one")
    cluster.world.end_candidate("one")
    assert cluster.world.candidates() == ["two"]
    assert cluster.service("interest")["spec"] == stable()["spec"]


def test_the_predictor_of_an_earlier_experiment_of_that_name_is_not_taken(cluster: Cluster) -> None:
    cluster.has_stable()
    cluster.has_experiment()
    cluster.world.candidate("new-model", GOOD)
    cluster.is_ready(True)
    cluster.server.ask("DELETE", f"{EXPERIMENTS}/new-model")
    cluster.has_experiment()
    assert cluster.world.candidate("new-model", GOOD).waits == f"an earlier predictor {NAME} ends"
    assert cluster.world.candidate("new-model", GOOD).waits == f"its predictor {NAME} begins"


def test_one_that_ends_is_waited_for(cluster: Cluster) -> None:
    cluster.has_stable()
    cluster.has_experiment()
    cluster.world.candidate("new-model", GOOD)
    cluster.is_ready(True)
    held = {"metadata": {"finalizers": ["kserve.io/finalizer"]}}
    cluster.server.ask("PATCH", f"{SERVICE}/{NAME}", held, MERGE)
    cluster.world.end_candidate("new-model")
    assert cluster.world.candidate("new-model", GOOD).waits == f"an earlier predictor {NAME} ends"
    assert cluster.world.candidates() == ["new-model"]


def test_without_a_release_there_is_nothing_to_try_beside(cluster: Cluster) -> None:
    cluster.has_experiment()
    with pytest.raises(StableMissing, match="no InferenceService 'interest'"):
        cluster.world.candidate("new-model", GOOD)


def test_a_promotion_is_a_new_pointer_where_that_is_followed(cluster: Cluster) -> None:
    cluster.has_stable()
    cluster.has_pod("interest", 2, model_digest=GOOD)
    cluster.world.promote(GOOD)
    cluster.world.promote(GOOD)
    assert models.latest(cluster.store) == GOOD == cluster.world.served()
    assert cluster.service("interest")["spec"] == stable()["spec"]
    assert cluster.world.serves(GOOD)
    assert not cluster.world.serves(STABLE)


def test_all_ready_pods_of_the_stable_arm_have_to_answer_with_the_model(cluster: Cluster) -> None:
    cluster.has_stable()
    assert not cluster.world.serves(GOOD), "there is no pod"
    cluster.has_pod("interest", 2, ready=False, model_digest=STABLE)
    cluster.has_pod("interest", 3, model_digest=GOOD)
    cluster.has_pod(NAME, 4, model_digest=OTHER)
    assert cluster.world.serves(GOOD), "a candidate's pod and one that is not ready do not count"
    cluster.has_pod("interest", 5, model_digest=STABLE)
    assert not cluster.world.serves(GOOD)


def test_a_pod_that_does_not_answer_serves_nothing(cluster: Cluster) -> None:
    cluster.has_stable()
    cluster.has_pod("interest", 2)
    assert not cluster.world.serves(GOOD)


def test_a_promotion_is_a_new_argument_where_a_digest_is_pinned(cluster: Cluster) -> None:
    cluster.has_stable("pinned-model")
    container = {
        "name": "feed",
        "image": "rapt/training:0.1.0",
        "args": ["inference.catalogue_feed", f"--model={PINNED}"],
    }
    labels = {"app": "feed"}
    feed = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "rapt-catalogue-feed"},
            "spec": {"selector": {"matchLabels": labels},
                     "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}}}  # fmt: skip
    cluster.server.ask("POST", FEED, feed)
    try:
        cluster.world.promote(GOOD)
        made = cluster.service("interest")
        assert {part: pinned(made["spec"][part]) for part in ("predictor", "explainer")} == {
            "predictor": GOOD,
            "explainer": GOOD,
        }
        assert made["spec"]["transformer"] == stable("pinned-model")["spec"]["transformer"]
        assert cluster.world.served() == GOOD
        assert models.latest(cluster.store) == STABLE, "nobody follows it"
        pod = cluster.server.ask("GET", f"{FEED}/rapt-catalogue-feed")["spec"]["template"]["spec"]
        assert pod["containers"][0]["args"] == ["inference.catalogue_feed", f"--model={GOOD}"]
        before = made["metadata"]["resourceVersion"]
        cluster.world.promote(GOOD)
        assert cluster.service("interest")["metadata"]["resourceVersion"] == before, "once"
    finally:
        cluster.server.ask("DELETE", f"{FEED}/rapt-catalogue-feed")


def test_a_pin_does_not_write_over_what_somebody_else_has_written(cluster: Cluster) -> None:
    seen = cluster.has_stable("pinned-model")
    cluster.server.ask("PATCH", f"{SERVICE}/interest", {"metadata": {"labels": {"by": "helm"}}}, MERGE)
    with pytest.raises(ObjectChanged):
        cluster.world._pin("serving.kserve.io/v1beta1/inferenceservices", seen,
                           ["/spec/predictor/containers/0/args"], GOOD)  # fmt: skip
