"""Experiments that a pipeline asks for: `proposals/<name>.json`, until whoever keeps experiments begins them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from interest.experiments.spec import Experiment
from wire.objects import ObjectStore

PREFIX = "proposals/"


def propose(store: ObjectStore, experiment: Experiment) -> None:
    """Ask for an experiment; asking again changes nothing."""
    store.put_bytes(f"{PREFIX}{experiment.name}.json", msgspec.json.encode(experiment))


def proposed(store: ObjectStore) -> Iterator[Experiment]:
    """Those that were asked for and not begun yet."""
    for key in store.list(PREFIX):
        yield msgspec.json.decode(store.get_bytes(key), type=Experiment)


def begun(store: ObjectStore, name: str) -> None:
    """It is asked for no more."""
    store.delete(f"{PREFIX}{name}.json")
