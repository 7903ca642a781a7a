"""Experiments on a laptop: the reconcile loop, whose candidates are predictor processes beside the stack's own.

python -m rapt.experiments --port 8089    (a service of `rapt up`)
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import signal
import sys
import threading
from collections.abc import Sequence

from monitoring.experiments import loop
from monitoring.experiments.arms import ArmsWriter
from monitoring.experiments.metrics import Told, registry
from monitoring.experiments.reconciler import Candidate, Reconciler
from monitoring.experiments.records import StoredRecords
from rapt import service, serving, settings
from rapt.errors import PortInUse
from rapt.service import Service
from rapt.settings import Settings
from wire import models
from wire.errors import ObjectNotFound
from wire.http import serving as answering
from wire.http import worker_routes
from wire.kafka import KafkaSettings
from wire.objects import ObjectStore

CANDIDATE = "candidate"
"""Name of the candidate's process: a laptop tries one at a time."""


class LaptopWorld:
    """The stack's processes as the world of experiments."""

    def __init__(self, chosen: Settings, store: ObjectStore) -> None:
        self.settings, self.store = chosen, store
        self.predictor = next(one for one in serving.backends(chosen, {}) if one.name == "predictor")

    def served(self) -> str:
        if self.settings.serving_model:
            return models.resolve(self.store, self.settings.serving_model)
        try:
            return models.latest(self.store)
        except ObjectNotFound:
            return ""

    def serves(self, digest: str) -> bool:
        return (self.predictor.status() or {}).get("model_digest") == digest

    def lacks(self, digest: str) -> str:
        if self.settings.serving_model:
            return "RAPT_SERVING_MODEL pins the model that serves: unset it, then rapt up"
        return models.lacks(self.store, digest)

    def promote(self, digest: str) -> None:
        if self.served() != digest:
            models.promote(self.store, digest)

    def candidate(self, experiment: str, digest: str, *, asked: bool = False) -> Candidate:
        process = self._process(digest)
        address = process.address.removeprefix("http://")
        if self._runs() and self._owner() != (experiment, digest):
            if self._owner()[0] == experiment:
                self.end_candidate(experiment)
                return Candidate(address, "an earlier candidate of that name ends")
            return Candidate(address, f"a laptop tries one candidate at a time, now that of {self._owner()[0]!r}")
        if self._owner() != (experiment, digest):
            self._note(experiment, digest)
        try:
            service.launch(process, self.settings.run_folder)
        except PortInUse as error:
            return Candidate(address, str(error))
        if asked:
            return Candidate(address)
        status = process.status()
        if status is None or status.get("model_digest") != digest:
            return Candidate(address, f"its predictor loads {digest[:12]}")
        return Candidate(address)

    def candidates(self) -> Sequence[str]:
        return [self._owner()[0]] if self._runs() else []

    def end_candidate(self, experiment: str) -> None:
        if experiment in self.candidates():
            service.stop(CANDIDATE, self.settings.run_folder, self.settings.stop_grace_s)

    def _process(self, digest: str) -> Service:
        return serving.candidate(
            self.settings, self.settings.environment() | self.settings.stream_environment(), digest
        )

    def _runs(self) -> bool:
        return service.find(CANDIDATE, self.settings.run_folder) is not None

    def _owner(self) -> tuple[str, str]:
        try:
            experiment, digest = (self.settings.run_folder / f"{CANDIDATE}.of").read_text().split()
        except (FileNotFoundError, ValueError):
            return "", ""
        return experiment, digest

    def _note(self, experiment: str, digest: str) -> None:
        file = self.settings.run_folder / f"{CANDIDATE}.of"
        part = file.with_suffix(".part")
        part.write_text(f"{experiment} {digest}\n")
        part.replace(file)


def main() -> None:
    """Keep the experiments of this user's stack going until SIGTERM; a second one waits for the first to end."""
    parser = argparse.ArgumentParser(prog="python -m rapt.experiments", description=__doc__.partition("\n")[0])
    parser.add_argument("--port", required=True, type=int, help="answers /live, /ready, /metrics, /status on loopback")
    options = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    chosen = settings.load()
    told = Told()
    routes = worker_routes(ready=lambda: told.waits_for, status=lambda: told, registry=registry(told))

    def make() -> Reconciler:
        store = ObjectStore.from_env(chosen.environment())
        arms = ArmsWriter(KafkaSettings.from_env(chosen.stream_environment()))
        return Reconciler(StoredRecords(store), LaptopWorld(chosen, store), arms, store)

    with answering("127.0.0.1", options.port, routes), (chosen.run_folder / "experiments.lock").open("w") as file:
        while not ended.is_set():
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                told.waits_for = "another process that keeps the experiments going"
                ended.wait(1.0)
        loop.run(make, told, ended)


if __name__ == "__main__":
    main()
