"""An API server with our definition and the rights that the chart gives, and the objects that tests put there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.charts.rendered import release
from tests.monitoring.operator.apiserver import NAMESPACE, SERVICES, ApiServer, program

DEFINITIONS = "apis/apiextensions.k8s.io/v1/customresourcedefinitions"
RBAC = f"apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
EXPERIMENTS = f"apis/rapt.dev/v1alpha1/namespaces/{NAMESPACE}/experiments"
SERVICE = f"apis/serving.kserve.io/v1beta1/namespaces/{NAMESPACE}/inferenceservices"
PODS = f"api/v1/namespaces/{NAMESPACE}/pods"
EVENTS = f"api/v1/namespaces/{NAMESPACE}/events"
LEFT = (EXPERIMENTS, SERVICE, PODS, EVENTS)


@pytest.fixture(scope="session")
def definition() -> dict[str, Any]:
    """The chart's definition of the kind Experiment."""
    if shutil.which("helm") is None:
        pytest.skip("the chart is rendered by helm")
    (found,) = release("default").of_kind("CustomResourceDefinition")
    return found


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory, definition: dict[str, Any]) -> Iterator[ApiServer]:
    """One API server for all tests."""
    if missing := [name for name in ("etcd", "kube-apiserver") if program(name) is None]:
        pytest.skip(f"an API server needs {' and '.join(missing)} on PATH or in KUBEBUILDER_ASSETS")
    made = ApiServer(tmp_path_factory.mktemp("apiserver"))
    try:
        made.prepare()
        made.start_etcd()
        made.start()
        made.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, "api/v1/namespaces")
        for one in (definition, yaml.safe_load(SERVICES)):
            made.apply(one, DEFINITIONS)
        for kind in ("Role", "RoleBinding"):
            for one in release("pinned-model").of_kind(kind):
                made.apply(one, f"{RBAC}/{kind.lower()}s")
        for path in (EXPERIMENTS, SERVICE):
            made.until(lambda path=path: made.ask("GET", path, who="operator"), f"{path} is served")  # type: ignore[misc]
        yield made
    finally:
        made.end()


@pytest.fixture
def server(running: ApiServer) -> Iterator[ApiServer]:
    """The API server; what a test leaves there is removed."""
    yield running

    def cleared() -> bool:
        left = [(path, one) for path in LEFT for one in running.ask("GET", path)["items"]]
        for path, one in left:
            where = f"{path}/{one['metadata']['name']}"
            if one["metadata"].get("finalizers"):
                running.ask("PATCH", where, {"metadata": {"finalizers": None}}, "application/merge-patch+json")
            if "deletionTimestamp" not in one["metadata"]:
                running.ask("DELETE", f"{where}?gracePeriodSeconds=0")
        return not left

    running.until(cleared, "nothing is left")
