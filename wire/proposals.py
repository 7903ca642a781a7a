"""Experiments that a pipeline asks for: `proposals/<name>.json`, until whoever keeps experiments begins them."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import msgspec

from interest.experiments.spec import Experiment
from wire.objects import ObjectStore

LOG = logging.getLogger(__name__)
PREFIX = "proposals/"


def propose(store: ObjectStore, experiment: Experiment) -> None:
    """Ask for an experiment; asking again changes nothing."""
    store.put_bytes(f"{PREFIX}{experiment.name}.json", msgspec.json.encode(experiment))


def proposed(store: ObjectStore) -> Iterator[Experiment]:
    """Those that were asked for and not begun yet; what is no experiment is told and deleted, so as to hold up none."""
    for key in store.list(PREFIX):
        data = store.get_bytes(key)
        try:
            yield msgspec.json.decode(data, type=Experiment)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            LOG.error("%s is no experiment and is deleted: %s: %.1000r", store.uri(key), error, data)
            store.delete(key)


def begun(store: ObjectStore, name: str) -> None:
    """It is asked for no more."""
    store.delete(f"{PREFIX}{name}.json")
