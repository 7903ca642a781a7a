"""A real cluster: the current context, or a kind cluster of the tests' own that is removed afterwards."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from interest.bundle import Bundle
from rapt.cluster import create
from rapt.cluster.create import Plan, wait_ready
from rapt.cluster.programs import run
from tests.cluster.deployed import Deployed
from tests.cluster.watch import Watch, watching

DEFAULTS = (create.CHART / "values.yaml",)
"""Named, since helm keeps the values of the release before where none are given."""
NEEDED = ("docker", "kind", "kubectl", "helm")


@pytest.fixture(scope="session")
def plan(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Plan]:
    """Where to install; see `--cluster`."""
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        pytest.skip(f"a cluster needs {', '.join(missing)} on PATH")
    if pytestconfig.getoption("--cluster") == "current":
        context = run(["kubectl", "config", "current-context"], deadline_s=10).strip()
        yield Plan(context=context, values=DEFAULTS)
        return
    name = f"rapt-test-{os.getpid()}"
    kept = os.environ.get("KUBECONFIG")
    os.environ["KUBECONFIG"] = str(tmp_path_factory.mktemp("kube") / "config")
    image = os.environ.get("KIND_NODE_IMAGE", "")
    chosen = ("--image", image) if image else ()
    config = ("--config", str(Path(__file__).parent / "nodes.yaml"))
    try:
        run(["kind", "create", "cluster", "--name", name, "--wait", "180s", *config, *chosen], deadline_s=300)
        yield Plan(name=name, values=DEFAULTS)
    finally:
        run(["kind", "delete", "cluster", "--name", name], deadline_s=120)
        os.environ.pop("KUBECONFIG")
        if kept is not None:
            os.environ["KUBECONFIG"] = kept


@pytest.fixture(scope="session")
def deployed(plan: Plan, pytestconfig: pytest.Config) -> Iterator[Deployed]:
    """Rapt as `rapt cluster create` installs it."""
    create.create(plan, lambda line: print(line, file=sys.stderr))
    yield Deployed(plan)
    if not pytestconfig.getoption("--no-cleanup"):
        create.delete(plan)


@pytest.fixture(scope="session")
def served(deployed: Deployed, bundle: Bundle) -> Deployed:
    """With a model, ready, and a gateway."""
    deployed.publish(bundle)
    wait_ready(deployed.cluster)
    deployed.start_gateway()
    return deployed


@pytest.fixture(scope="session")
def prometheus(deployed: Deployed) -> Iterator[Watch]:
    """A Prometheus that reads every pod of Rapt that lets it, and the kubelets; see WATCHED for the values."""
    yield from watching(deployed)
