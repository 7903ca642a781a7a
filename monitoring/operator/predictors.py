"""InferenceServices as values: which model one serves, a candidate's beside the stable one, why a pod is not ready."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence

from monitoring.operator.api import Object
from monitoring.operator.errors import StableMissing

API_VERSION, KIND = "serving.kserve.io/v1beta1", "InferenceService"
STABLE = "interest"
"""Name of the one that serves everybody, as the chart has it."""
OF = "rapt.dev/experiment"
"""Label of a candidate's InferenceService and pods: whose it is."""
SERVICE_OF = "serving.kserve.io/inferenceservice"
"""KServe's label of pods."""
MODEL = "--model="
MODE = "serving.kserve.io/deploymentMode"
INSTANCE = "app.kubernetes.io/instance"


def name_of(experiment: str) -> str:
    """A candidate's name: 46 characters at most, and KServe makes a label of `isvc.NAME-predictor`, of 63."""
    return f"trial-{experiment}"


def host_of(experiment: str, namespace: str) -> str:
    """The Service that KServe gives a candidate's predictor; it listens at port 80."""
    return f"{name_of(experiment)}-predictor.{namespace}"


def pinned(component: Object) -> str:
    """The digest that a predictor or explainer was told to serve; empty when it follows the one published last."""
    found = (one.removeprefix(MODEL) for one in component["containers"][0].get("args", []) if one.startswith(MODEL))
    return next(found, "")


def with_model(args: Sequence[str], digest: str) -> list[str]:
    """A program's arguments, so that it serves this model."""
    return [*(one for one in args if not one.startswith(MODEL)), MODEL + digest]


def candidate(stable: Object, experiment: Object, digest: str) -> Object:
    """The InferenceService of a candidate: the stable one's predictor with another model; raises StableMissing.

    It has the stable pods' labels, so that policies let the same in and out, and belongs to its experiment, so that it
    is collected with it even when nobody operates.
    """
    about = experiment["metadata"]
    name = name_of(about["name"])
    predictor = copy.deepcopy(stable["spec"]["predictor"])
    if not predictor.get("containers"):
        raise StableMissing(f"the predictor of InferenceService {STABLE!r} has no container to take for a candidate")
    container = predictor["containers"][0]
    container["args"] = with_model(container.get("args", []), digest)
    own = {OF: about["name"]}
    predictor["labels"] = {**predictor.get("labels", {}), **own}
    if scaling := predictor.get("autoScaling"):  # KEDA's queries name the pods
        predictor["autoScaling"] = json.loads(json.dumps(scaling).replace(f"{STABLE}-predictor", f"{name}-predictor"))
    labels = {
        key: one for key, one in stable["metadata"].get("labels", {}).items() if key.startswith("app.kubernetes.")
    }
    mode = {key: one for key, one in stable["metadata"].get("annotations", {}).items() if key == MODE}
    owner = {"apiVersion": experiment["apiVersion"], "kind": experiment["kind"], "name": about["name"],
             "uid": about["uid"], "controller": True, "blockOwnerDeletion": False}  # fmt: skip
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "labels": {**labels, **own}, "annotations": mode, "ownerReferences": [owner]},
        "spec": {"predictor": predictor},
    }


def is_for(found: Object, experiment: Object, digest: str) -> bool:
    """Whether an InferenceService is this experiment's, not that of an earlier one of its name."""
    owners = {one["uid"] for one in found["metadata"].get("ownerReferences", [])}
    return experiment["metadata"]["uid"] in owners and pinned(found["spec"]["predictor"]) == digest


def condition(found: Object, kind: str) -> Object:
    """A condition of an object's status; empty when there is none."""
    conditions: list[Object] = found.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == kind), {})


def ready(pod: Object) -> bool:
    """Whether Services send requests to the pod, or did a moment ago."""
    return condition(pod, "Ready").get("status") == "True"


def troubles(pods: Sequence[Object]) -> Iterator[str]:
    """What holds pods up, by what the scheduler and the kubelet say."""
    for pod in pods:
        scheduled = condition(pod, "PodScheduled")
        if scheduled.get("status") == "False":
            yield f"no node takes its pod: {scheduled.get('message', '')}"
        for container in pod.get("status", {}).get("containerStatuses", []):
            waiting = container.get("state", {}).get("waiting", {})
            if waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
                yield f"{waiting['reason']}: {waiting.get('message', '')}"
