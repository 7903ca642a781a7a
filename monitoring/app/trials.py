"""Experiments as they are known everywhere: records where a laptop keeps them, and audits, which every world writes."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from interest.experiments.decision import Status
from interest.experiments.spec import Spec
from monitoring.experiments.records import PREFIX, Audit, StoredRecords, audits
from wire.errors import ObjectNotFound
from wire.objects import ObjectStore


@dataclass(frozen=True)
class Trial:
    """An experiment; `as_of_ms` is the last decision's moment where only audits tell of it, as on a cluster, else 0."""

    name: str
    spec: Spec
    status: Status
    as_of_ms: int = 0


def trials(store: ObjectStore) -> list[Trial]:
    """All experiments, the newest first; raises ObjectStoreError."""
    keys = list(store.list(PREFIX))
    last = {key.split("/")[1]: key for key in keys if "/audit/" in key}
    recorded = {key.split("/")[1] for key in keys if key.endswith("/spec.json")}
    found = [one for name in recorded | set(last) if (one := _trial(store, name, name in recorded, last.get(name)))]
    return sorted(found, key=lambda one: (-(one.status.started_ms or one.status.created_ms), one.name))


def decisions(store: ObjectStore, trial: Trial) -> list[Audit]:
    """All decisions on it, not on an earlier one of its name, in order; raises ObjectStoreError."""
    return [one for one in audits(store, trial.name) if one.after.created_ms == trial.status.created_ms]


def _trial(store: ObjectStore, name: str, recorded: bool, last_audit: str | None) -> Trial | None:
    if recorded and (kept := StoredRecords(store).get(name)) is not None:
        return Trial(name, kept.experiment.spec, kept.status)
    if last_audit is None:
        return None
    try:
        audit = msgspec.json.decode(store.get_bytes(last_audit), type=Audit)
    except ObjectNotFound:
        return None
    return Trial(name, audit.spec, audit.after, audit.at_ms)
