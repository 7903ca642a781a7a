"""Experiments as resources of the cluster: `kubectl apply`, `kubectl get experiments`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from interest.errors import InvalidExperiment
from interest.experiments.decision import Status
from interest.experiments.spec import Experiment, document, parse
from monitoring.experiments.records import Kept
from monitoring.operator.api import Api, Object
from monitoring.operator.errors import KubernetesError, ObjectChanged, ObjectMissing, ObjectRefused

LOG = logging.getLogger(__name__)
GROUP, VERSION, PLURAL = "rapt.dev", "v1alpha1", "experiments"
EXPERIMENTS = f"{GROUP}/{VERSION}/{PLURAL}"
COMPONENT = "rapt-experiments"
"""Who events are from."""


class KubernetesRecords:
    """Statuses are compared and swapped: of two operators one writes, and the other one looks again.

    An experiment that is being deleted counts as gone. One that cannot be run as it is written is told so in its status
    and by an event, and is passed over.
    """

    def __init__(self, api: Api) -> None:
        self.api = api
        self._seen: dict[str, Object] = {}

    def all(self) -> list[Kept]:
        found = sorted(self.api.items(EXPERIMENTS), key=_age)
        self._seen = {one["metadata"]["name"]: one for one in found if "deletionTimestamp" not in one["metadata"]}
        kept = [self._kept(one) for one in self._seen.values()]
        return [one for one in kept if one is not None]

    def begin(self, experiment: Experiment, now_ms: int) -> None:  # noqa: ARG002 - the API server knows the time
        try:
            self.api.create(EXPERIMENTS, document(experiment))
        except ObjectChanged:
            LOG.info("experiment %s is there already", experiment.name)
        except ObjectRefused as error:
            raise InvalidExperiment(str(error)) from error

    def note(self, name: str, status: Status) -> None:
        """Raises ObjectChanged when the status is no longer the one that `all` found, ObjectMissing when it is gone."""
        before = self._seen[name]
        self._seen[name] = self._write(before, written(status))
        old = msgspec.convert(before.get("status", {}), Status)
        if (old.phase, old.share) != (status.phase, status.share):
            moved = status.phase if old.phase is not status.phase else "Share"
            self._tell(before, moved, f"{status.share:.0%} of the viewers: {status.reason}")

    def _kept(self, found: Object) -> Kept | None:
        try:
            experiment = parse(found)
            status = msgspec.convert(found.get("status", {}), Status)
        except (InvalidExperiment, msgspec.ValidationError) as error:
            self._refuse(found, str(error))
            return None
        return Kept(experiment=experiment, status=status if status.created_ms else _created(found, status))

    def _refuse(self, found: Object, why: str) -> None:
        reason, status = f"refused: {why}", found.get("status", {})
        if status.get("reason") == reason:
            return
        LOG.error("experiment %s is %s", found["metadata"]["name"], reason)
        try:
            self._write(found, {"phase": "Pending", **status, "reason": reason})
        except (ObjectChanged, ObjectMissing) as error:
            LOG.info("it is looked at again: %s", error)
            return
        self._tell(found, "Refused", why, kind="Warning")

    def _write(self, seen: Object, status: Object) -> Object:
        """Put the status in the place of the one seen, whatever else of the object has changed; gives the object."""
        name = seen["metadata"]["name"]
        try:
            return self._swap(seen, status)
        except ObjectChanged:
            now = self.api.get(EXPERIMENTS, name)
            if now is None or _identity(now) != _identity(seen):
                raise
        return self._swap(now, status)

    def _swap(self, seen: Object, status: Object) -> Object:
        # A patch that sets the version is refused with 409 when it is another one by now.
        version = {"op": "replace", "path": "/metadata/resourceVersion", "value": seen["metadata"]["resourceVersion"]}
        put = {"op": "add", "path": "/status", "value": status}
        return self.api.patch(EXPERIMENTS, seen["metadata"]["name"], [version, put], part="status")

    def _tell(self, about: Object, reason: str, message: str, kind: str = "Normal") -> None:
        """Leave an event; what is decided does not hang on it."""
        metadata = about["metadata"]
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        event = {
            "metadata": {"generateName": f"{metadata['name']}."},
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}", "kind": "Experiment", "name": metadata["name"],
                "namespace": metadata["namespace"], "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "reason": reason, "message": message[:1000], "type": kind, "source": {"component": COMPONENT},
            "firstTimestamp": now, "lastTimestamp": now, "count": 1, "reportingComponent": COMPONENT,
        }  # fmt: skip
        try:
            self.api.create("v1/events", event)
        except KubernetesError as error:
            LOG.warning("experiment %s: its event is lost: %s", metadata["name"], error)


def written(status: Status) -> Object:
    """A status as the resource has it: without nulls, and in words what the columns of `kubectl get` show."""
    lift = status.lift
    shown = {"share": f"{status.share:.0%}"} | {
        name: "" if value is None else f"{value:+.2%}"
        for name, value in {"lift": lift.value, "lower": lift.lower, "upper": lift.upper}.items()
    }
    made: Object = _without_nulls(msgspec.to_builtins(status)) | {"shown": shown}
    return made


def _without_nulls(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _without_nulls(one) for key, one in tree.items() if one is not None}
    return [_without_nulls(one) for one in tree] if isinstance(tree, list | tuple) else tree


def _created(found: Object, status: Status) -> Status:
    made = datetime.fromisoformat(found["metadata"]["creationTimestamp"])
    return replace(status, created_ms=int(made.timestamp() * 1000))


def _age(found: Object) -> tuple[str, str]:
    return found["metadata"]["creationTimestamp"], found["metadata"]["name"]


def _identity(found: Object) -> tuple[str, object]:
    return found["metadata"]["uid"], found.get("status")
