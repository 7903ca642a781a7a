"""The cluster as the world of experiments: a candidate is an InferenceService beside the stable one.

When the chart pins no model, the stable predictors follow `models/latest.json`, and a promotion is a new pointer there:
each loads the model beside the old one. When it pins one, a promotion is a new argument, and new pods take the place
of the old ones; the chart's values have to follow, or the next `helm upgrade` may bring the old model back.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import msgspec
import urllib3

from monitoring.experiments.reconciler import Candidate
from monitoring.operator import predictors
from monitoring.operator.api import Api, Object
from monitoring.operator.errors import ObjectChanged, StableMissing
from monitoring.operator.predictors import INSTANCE, OF, SERVICE_OF, STABLE
from monitoring.operator.records import EXPERIMENTS
from wire import models
from wire.errors import ObjectNotFound
from wire.objects import ObjectStore

LOG = logging.getLogger(__name__)
SERVICES, PODS, DEPLOYMENTS = "serving.kserve.io/v1beta1/inferenceservices", "v1/pods", "apps/v1/deployments"
STATUS_PORT, STATUS_S = 8080, 2.0


class KubernetesWorld:
    """InferenceServices of one namespace and release; `status_port` is where each predictor's pod tells its model."""

    def __init__(self, api: Api, store: ObjectStore, release: str, status_port: int = STATUS_PORT) -> None:
        self.api, self.store, self.release, self.status_port = api, store, release, status_port

    def served(self) -> str:
        stable = self.api.get(SERVICES, STABLE)
        if stable is None:
            return ""
        if digest := predictors.pinned(stable["spec"]["predictor"]):
            return digest
        try:
            return models.latest(self.store)
        except ObjectNotFound:
            return ""

    def serves(self, digest: str) -> bool:
        pods = [one for one in self._pods(STABLE) if predictors.ready(one)]
        return bool(pods) and all(self._told(one).get("model_digest") == digest for one in pods)

    def lacks(self, digest: str) -> str:
        return models.lacks(self.store, digest)

    def promote(self, digest: str) -> None:
        stable = self._stable()
        if not predictors.pinned(stable["spec"]["predictor"]):
            if self.served() != digest:
                models.promote(self.store, digest)
            return
        parts = [part for part in ("predictor", "explainer") if part in stable["spec"]]
        self._pin(SERVICES, stable, [f"/spec/{part}/containers/0/args" for part in parts], digest)
        feed = self.api.get(DEPLOYMENTS, f"{self.release}-catalogue-feed")
        if feed is not None:
            self._pin(DEPLOYMENTS, feed, ["/spec/template/spec/containers/0/args"], digest)

    def candidate(self, experiment: str, digest: str, *, asked: bool = False) -> Candidate:
        address = predictors.host_of(experiment, self.api.access.namespace)
        owner, name = self.api.get(EXPERIMENTS, experiment), predictors.name_of(experiment)
        if owner is None:
            return Candidate(address, "the experiment is no longer there")
        found = self.api.get(SERVICES, name)
        if found is None:
            try:
                self.api.create(SERVICES, predictors.candidate(self._stable(), owner, digest))
            except ObjectChanged:
                LOG.info("another operator has made %s", name)
            return Candidate(address, f"its predictor {name} begins")
        if "deletionTimestamp" in found["metadata"]:
            return Candidate(address, f"an earlier predictor {name} ends")
        if not predictors.is_for(found, owner, digest):
            self.api.delete(SERVICES, name)
            return Candidate(address, f"an earlier predictor {name} ends")
        if asked or predictors.condition(found, "PredictorReady").get("status") == "True":
            return Candidate(address)
        return Candidate(
            address, f"its predictor {name} is not ready: {'; '.join(self._reasons(found)) or 'it begins'}"
        )

    def candidates(self) -> Sequence[str]:
        mine = self.api.items(SERVICES, {OF: "", INSTANCE: self.release})
        return [one["metadata"]["labels"][OF] for one in mine]

    def end_candidate(self, experiment: str) -> None:
        self.api.delete(SERVICES, predictors.name_of(experiment))

    def _stable(self) -> Object:
        found = self.api.get(SERVICES, STABLE)
        if found is None:
            raise StableMissing(f"there is no InferenceService {STABLE!r} in {self.api.access.namespace}: helm install")
        return found

    def _pods(self, service: str) -> list[Object]:
        return self.api.items(PODS, {SERVICE_OF: service, "component": "predictor"})

    def _pin(self, kind: str, found: Object, places: Sequence[str], digest: str) -> None:
        """Replace the arguments at these places, unless they are so; raises ObjectChanged when somebody else did."""
        operations = []
        for place in places:
            args = _at(found, place)
            if (wanted := predictors.with_model(args, digest)) != args:
                operations.append({"op": "add", "path": place, "value": wanted})
        if operations:
            name, version = found["metadata"]["name"], found["metadata"]["resourceVersion"]
            seen = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
            self.api.patch(kind, name, [seen, *operations])
            LOG.info("%s/%s serves %s from now on", kind, name, digest[:12])

    def _reasons(self, found: Object) -> Iterator[str]:
        pods = self._pods(found["metadata"]["name"])
        yield from predictors.troubles(pods)
        yield from filter(None, (str(self._told(one).get("waits_for", "")) for one in pods))
        if not pods:
            yield predictors.condition(found, "PredictorReady").get("message", "")

    def _told(self, pod: Object) -> dict[str, object]:
        """What a predictor's pod says of itself; empty when it does not answer."""
        address = pod.get("status", {}).get("podIP", "")
        host = f"[{address}]" if ":" in address else address
        if not host:
            return {}
        try:
            url = f"http://{host}:{self.status_port}/status"
            answer = urllib3.request("GET", url, timeout=STATUS_S, retries=False, headers={"Connection": "close"})
            return msgspec.json.decode(answer.data, type=dict[str, object])
        except (urllib3.exceptions.HTTPError, msgspec.DecodeError) as error:
            LOG.debug("pod %s does not say what it serves: %s", pod["metadata"]["name"], error)
            return {}


def _at(found: Object, place: str) -> list[str]:
    """What lies at a JSON pointer."""
    here: object = found
    for step in place.strip("/").split("/"):
        here = here[int(step)] if isinstance(here, list) else here[step] if isinstance(here, dict) else None
    return list(here) if isinstance(here, list) else []
