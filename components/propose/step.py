"""Put a model that is better than the one that serves into the store, and ask for an experiment with it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import yaml

from components.publish.step import final
from interest.bundle import open_bundle
from interest.errors import InvalidExperiment
from interest.experiments.spec import API_VERSION, KIND, Experiment, parse
from wire.models import publish_bundle
from wire.objects import ObjectStore
from wire.proposals import propose


def run(model: Path, report: Path, dataset: Path, bundle: Path, *, experiment: str = "") -> dict[str, str]:
    """Write the final bundle into the folder `bundle`, publish it without serving it, propose the experiment.

    `experiment` is its spec but for the candidate, as YAML; empty: as an experiment is by default. Returns the
    digest and the experiment's name, `retrained-<digest>`. Raises InvalidExperiment.
    """
    digest = final(model, report, bundle)
    asked = trial_of(digest, experiment)
    store = ObjectStore.from_env()
    open_bundle(bundle, digest)
    publish_bundle(store, bundle, digest, dataset, published_at_ms=time.time_ns() // 1_000_000, serve=False)
    propose(store, asked)
    return {"digest": digest, "experiment": asked.name}


def trial_of(digest: str, spec: str) -> Experiment:
    """The experiment of a candidate; `spec` as YAML, but for the candidate. Raises InvalidExperiment."""
    try:
        given = msgspec.convert(yaml.safe_load(spec) or {}, dict[str, Any])
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise InvalidExperiment(f"experiment={spec!r} is no YAML of an experiment's spec: {error}") from error
    about = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": f"retrained-{digest[:12]}"}}
    return parse({**about, "spec": {**given, "candidate": digest}})
