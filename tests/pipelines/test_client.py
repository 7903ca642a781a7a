"""Ours beside kfp's own: the same requests as `kfp.Client`, the same configuration of pods as `kfp.kubernetes`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec
from kfp_server_api import RunServiceApi

from pipelines.compile import compiled, find
from pipelines.known import PIPELINES
from pipelines.spec import Spec
from pipelines.submit import Cluster
from tests.pipelines import kubeflow
from tests.pipelines.kubeflow import Frame, Kubeflow, Refusal, check, check_pipeline

ROOT = Path(__file__).parents[2]
ARGUMENTS = {"viewers": 7, "max_failed_share": 1}


@pytest.fixture
def served() -> Iterator[tuple[str, Kubeflow]]:
    with kubeflow.running() as (endpoint, state):
        yield endpoint, state


def with_kfp(home: Path, *arguments: str) -> dict[str, Any]:
    """What tests/pipelines/client.py answers last, in a process that has all of kfp."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("_KFP", "KF_"))}
    done = subprocess.run(
        [sys.executable, "-m", "tests.pipelines.client", *arguments],
        cwd=ROOT, env={**environment, "HOME": str(home)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def normal(body: dict[str, Any]) -> dict[str, Any]:
    """A request's body with its pipeline as kfp prints it, whatever way its numbers were written."""
    source = body["pipeline_spec"]
    spec = json_format.MessageToDict(json_format.ParseDict(source["pipeline_spec"], PipelineSpec()))
    return {**body, "pipeline_spec": {**source, "pipeline_spec": spec}}


def test_submit_and_schedule_send_what_kfp_sends(served: tuple[str, Kubeflow], tmp_path: Path) -> None:
    endpoint, state = served
    state.film = [Frame("PENDING"), Frame("RUNNING", {"download": "RUNNING"}), Frame("SUCCEEDED")]
    package = tmp_path / "training.yaml"
    package.write_text(compiled(find("training")))

    theirs = with_kfp(tmp_path, "submit", endpoint, str(package))

    assert theirs["state"] == "SUCCEEDED"
    assert set(state.runs) == {theirs["run_id"]} and set(state.recurring) == {theirs["schedule_id"]}
    experiment, run, recurring = (body for _, body in state.bodies)
    state.bodies.clear()

    cluster, root = Cluster(endpoint), "s3://rapt/pipelines"
    cluster.submit(find("training"), ARGUMENTS, name="mine", pipeline_root=root)
    cluster.schedule(
        find("training"), {"viewers": 7}, cron="0 3 * * *", catch_up=False, name="nightly", pipeline_root=root
    )

    our_run, our_recurring = (body for _, body in state.bodies)
    assert experiment == {"display_name": "rapt", "namespace": ""}, "which ours finds, and does not make again"
    assert normal(our_run) == normal(run)
    assert our_recurring["max_concurrency"] == str(recurring["max_concurrency"]), "64-bit: text in protobuf's JSON"
    assert normal({**our_recurring, "max_concurrency": 1}) == normal(recurring)


def test_a_steps_pod_is_configured_as_kfp_kubernetes_would(tmp_path: Path) -> None:
    theirs = with_kfp(tmp_path, "platform")
    for name in PIPELINES:
        spec = Spec.read(yaml.safe_load_all(compiled(find(name))))
        executors = spec.platform["deploymentSpec"]["executors"]
        assert set(executors) == set(spec.executors)
        assert all(config == theirs for config in executors.values())


def test_the_api_takes_no_field_that_protobuf_does_not_know() -> None:
    with pytest.raises(Refusal, match='unknown field "runtime" in V2beta1Run'):
        check({"display_name": "a", "runtime": {}}, "V2beta1Run")
    with pytest.raises(Refusal, match=r"\.runtime_config\.pipeline_root = 3 is no str"):
        check({"runtime_config": {"pipeline_root": 3}}, "V2beta1Run")
    with pytest.raises(Refusal, match="mode = 'ON' is no RecurringRunMode"):
        check({"mode": "ON"}, "V2beta1RecurringRun")
    with pytest.raises(Refusal, match="interval_second = '1h' is no str"):
        check({"trigger": {"periodic_schedule": {"interval_second": "1h"}}}, "V2beta1RecurringRun")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"dags": {}}, 'no field named "dags"'),
        ({"imagePull": "Always"}, 'no field named "imagePull"'),
        ({"activeDeadlineSeconds": "a day"}, "activeDeadlineSeconds"),
        ({"emptyDirMounts": [{"limit": "1Gi"}]}, 'no field named "limit"'),
    ],
)
def test_the_api_takes_no_pipeline_that_kfp_would_not_parse(change: dict[str, Any], told: str) -> None:
    own, platform = yaml.safe_load_all(compiled(find("training")))
    check_pipeline({"pipeline_spec": own, "platform_spec": platform})
    train = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"]
    (own["root"] if "dags" in change else train).update(change)
    with pytest.raises(Refusal, match=told):
        check_pipeline({"pipeline_spec": own, "platform_spec": platform})


def test_the_api_has_the_paths_and_parameters_of_the_client(served: tuple[str, Kubeflow]) -> None:
    runs = RunServiceApi(Cluster(served[0])._runs.api_client)
    for path, query in (("/apis/v2beta1/run", []), ("/apis/v2beta1/runs", [("limit", 3)])):
        with pytest.raises(Exception, match=r"Not Found|no query parameter") as refusal:
            runs.api_client.call_api(path, "GET", query_params=query, response_type="object")
        assert refusal.value.status in {400, 404}
