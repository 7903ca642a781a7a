"""Experiments as they are kept: what was asked for, where each is, and why each thing was decided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec

from interest.errors import InvalidExperiment
from interest.experiments.decision import Statistics, Status, Surroundings
from interest.experiments.spec import Experiment, Spec, refuse_change
from wire.errors import ObjectNotFound
from wire.objects import ObjectStore

PREFIX = "experiments/"


class Audit(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One decision and all that it stood on: `decide(spec, before, statistics, around, at_ms)` is `after`.

    `head` is the joiner's commit whose observations and tallies the statistics are of.
    """

    experiment: str
    at_ms: int
    head: int
    spec: Spec
    before: Status
    statistics: Statistics
    around: Surroundings
    after: Status


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment and where it is."""

    experiment: Experiment
    status: Status


class Records(Protocol):
    """Where experiments are kept: the object store on a laptop, resources on a cluster."""

    def all(self) -> list[Kept]:
        """All experiments, the oldest first."""

    def note(self, name: str, status: Status) -> None:
        """Keep a new status."""

    def begin(self, experiment: Experiment, now_ms: int) -> None:
        """Create one, unless there is one of its name; raises InvalidExperiment when it cannot be kept."""


class StoredRecords:
    """Experiments in the object store: `experiments/<name>/spec.json` and `status.json`."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    def all(self) -> list[Kept]:
        found = [self.get(name) for name in self.names()]
        kept = [one for one in found if one is not None]
        return sorted(kept, key=lambda one: (one.status.created_ms, one.experiment.name))

    def names(self) -> list[str]:
        """Names of all experiments."""
        keys = self.store.list(PREFIX)
        return sorted({key.split("/")[1] for key in keys if key.endswith("/spec.json")})

    def get(self, name: str) -> Kept | None:
        """One experiment; None when there is none of that name."""
        try:
            spec = msgspec.json.decode(self.store.get_bytes(f"{PREFIX}{name}/spec.json"), type=Spec)
        except ObjectNotFound:
            return None
        try:
            status = msgspec.json.decode(self.store.get_bytes(f"{PREFIX}{name}/status.json"), type=Status)
        except ObjectNotFound:
            status = Status()
        return Kept(experiment=Experiment(name=name, spec=spec), status=status)

    def apply(self, experiment: Experiment, now_ms: int) -> str:
        """Create or change one, and say which: created, changed, unchanged; raises InvalidExperiment."""
        before = self.get(experiment.name)
        if before is None:
            self.note(experiment.name, Status(created_ms=now_ms))
        elif before.experiment.spec == experiment.spec:
            return "unchanged"
        elif before.status.phase.ended:
            raise InvalidExperiment(
                f"experiment {experiment.name!r} has ended ({before.status.phase}): give the next one another name"
            )
        else:
            refuse_change(experiment.name, before.experiment.spec, experiment.spec)
        self.store.put_bytes(f"{PREFIX}{experiment.name}/spec.json", msgspec.json.encode(experiment.spec))
        return "changed" if before else "created"

    def begin(self, experiment: Experiment, now_ms: int) -> None:
        if self.get(experiment.name) is None:
            self.apply(experiment, now_ms)

    def note(self, name: str, status: Status) -> None:
        self.store.put_bytes(f"{PREFIX}{name}/status.json", msgspec.json.encode(status))

    def delete(self, name: str) -> None:
        """Forget an experiment; its audit stays."""
        self.store.delete(f"{PREFIX}{name}/spec.json")
        self.store.delete(f"{PREFIX}{name}/status.json")


def write_audit(store: ObjectStore, audit: Audit) -> None:
    """Keep why something was decided, before it takes effect."""
    key = f"{PREFIX}{audit.experiment}/audit/{audit.at_ms:013d}-{audit.after.phase}-{audit.after.step}.json"
    store.put_bytes(key, msgspec.json.encode(audit))


def audits(store: ObjectStore, name: str) -> Iterator[Audit]:
    """All decisions on an experiment, in order."""
    for key in store.list(f"{PREFIX}{name}/audit/"):
        yield msgspec.json.decode(store.get_bytes(key), type=Audit)
