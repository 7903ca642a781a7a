"""What every task of our pipelines has on a cluster: resources, the store's keys, a deadline, a place to write."""

from typing import Any

from kfp.dsl.pipeline_task import PipelineTask
from kfp.dsl.structures import ResourceSpec

SECRET, SETTINGS = "rapt-s3", "rapt"
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
PLACE = ("RAPT_S3_ENDPOINT", "RAPT_S3_BUCKET")
REGION = ("AWS_DEFAULT_REGION",)
LIGHT, MEDIA, LEARN = ("100m", "512Mi", "2Gi"), ("500m", "1Gi", "4Gi"), ("500m", "2Gi", "8Gi")
"""CPU and memory asked for, and the memory limit, of a kind of task."""
DEADLINE_S = 86_400
"""A pod that hangs for a day is ended, and with it what it holds."""
SCRATCH = "20Gi"
"""The most that a pod's temporary files and caches may take; the node's disk is everybody's."""


def task_of(task: PipelineTask, kind: tuple[str, str, str], *, retries: int = 1) -> PipelineTask:
    """What every task has on a cluster; a laptop ignores it. `run_step` caches, by content and code."""
    cpu, memory, limit = kind
    task.set_caching_options(False)
    # What kfp's own setters do, but each of those walks the whole stack: seconds, for a pipeline.
    task.container_spec.resources = ResourceSpec(cpu_request=cpu, memory_request=memory, memory_limit=limit)
    if retries:
        task.set_retry(num_retries=retries, backoff_duration="10s", backoff_factor=2)
    task.platform_config["kubernetes"] = {
        "secretAsEnv": [_from_kubernetes("secret", SECRET, KEYS)],
        "configMapAsEnv": [
            _from_kubernetes("configMap", SETTINGS, PLACE),
            _from_kubernetes("configMap", SETTINGS, REGION, optional=True),
        ],
        "imagePullPolicy": "IfNotPresent",
        "activeDeadlineSeconds": str(DEADLINE_S),
        "emptyDirMounts": [{"volumeName": "scratch", "mountPath": "/tmp", "sizeLimit": SCRATCH}],  # noqa: S108 - its own
        "securityContext": {"runAsNonRoot": True},
    }
    return task


def _from_kubernetes(kind: str, name: str, keys: tuple[str, ...], *, optional: bool = False) -> dict[str, Any]:
    """What `kfp.kubernetes` writes to bring in keys as variables; it would take the client of Kubernetes to import."""
    return {
        f"{kind}Name": name,
        f"{kind}NameParameter": {"runtimeValue": {"constant": name}},
        "keyToEnv": [{f"{kind}Key": key, "envVar": key} for key in keys],
        "optional": optional,
    }
