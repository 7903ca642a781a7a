"""What kfp itself does, in a process of its own: ours leaves its clients of clusters out (pipelines/__init__.py).

python -m tests.pipelines.client submit ENDPOINT PACKAGE | platform
"""

import json
import sys
import warnings
from typing import Any

import kfp
from google.protobuf import json_format
from kfp import dsl, kubernetes


@dsl.component(base_image="python:3.11")
def work() -> None:
    print("work")


def submit(endpoint: str, package: str) -> dict[str, Any]:
    """A run and a schedule of a compiled pipeline by `kfp.Client`, and the state that it waits for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        client = kfp.Client(host=endpoint)
    common = {"pipeline_root": "s3://rapt/pipelines"}
    run = client.create_run_from_pipeline_package(
        package, {"viewers": 7, "max_failed_share": 1}, run_name="mine", experiment_name="rapt", **common
    )
    over = client.wait_for_run_completion(run.run_id, timeout=60, sleep_duration=0)
    recurring = client.create_recurring_run(
        run.run_info.experiment_id, "nightly", cron_expression="0 0 3 * * *", no_catchup=True, params={"viewers": 7},
        pipeline_package_path=package, **common,
    )  # fmt: skip
    return {"run_id": run.run_id, "state": over.state, "schedule_id": recurring.recurring_run_id}


def platform() -> dict[str, Any]:
    """What kfp.kubernetes writes for a step that has what ours have."""

    @dsl.pipeline(name="parity")
    def parity() -> None:
        task = work()
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        place = ("RAPT_S3_ENDPOINT", "RAPT_S3_BUCKET")
        kubernetes.use_secret_as_env(task, "rapt-s3", {key: key for key in keys})
        kubernetes.use_config_map_as_env(task, "rapt", {key: key for key in place})
        kubernetes.use_config_map_as_env(task, "rapt", {"AWS_DEFAULT_REGION": "AWS_DEFAULT_REGION"}, optional=True)
        kubernetes.set_image_pull_policy(task, "IfNotPresent")
        kubernetes.set_timeout(task, 86_400)
        kubernetes.empty_dir_mount(task, "scratch", "/tmp", size_limit="20Gi")  # noqa: S108
        kubernetes.set_security_context(task, run_as_non_root=True)

    document = json_format.MessageToDict(parity.platform_spec)
    (step,) = document["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    found: dict[str, Any] = step
    return found


if __name__ == "__main__":
    print(json.dumps(submit(*sys.argv[2:]) if sys.argv[1] == "submit" else platform()))
