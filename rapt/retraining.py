"""Retraining on a laptop: looks at how the model that serves is doing, and runs the pipeline when it is time.

python -m rapt.retraining --port 8092    (a service of `rapt up` when `retrain_every_s` is above 0)

On a cluster the same pipeline runs by a schedule, and its first step looks.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from components.collect_observations.step import look
from components.runtime import cache_home
from interest.datasets import observed
from interest.errors import InterestError
from interest.retraining import Due, Facts, Policy, due
from monitoring.experiments.records import StoredRecords
from rapt import settings
from rapt.settings import Settings
from wire import models, retrainings
from wire.errors import ObjectNotFound, WireError
from wire.http import serving as answering
from wire.http import worker_routes
from wire.objects import ObjectStore
from wire.observations import Reader

LOG = logging.getLogger(__name__)
EXPERIMENT = "experiment "
"""How `last_run` begins when there is a candidate; the experiment's name follows."""
NICE = 10
"""Serving comes first: this process, and the training that it starts, take what is left of the processor."""
MOST = 200_000
"""The newest impressions are looked at, so many at most."""
COLUMNS = ("request_id", "user_id", "model_digest", "logged_ms", "video_id", "score", "rank", "scored_position",
           "position", "randomised", "candidates", "engaged", "watch_ms", "skipped")  # fmt: skip


class Told(msgspec.Struct, kw_only=True):
    """What /status says: what was seen last, whether a retraining is due and why, and what came of the last one."""

    model: str = ""
    looked_ms: int = 0
    looks: int = 0
    failures: int = 0
    last_failure: str = ""
    facts: Facts | None = None
    due: Due | None = None
    running: bool = False
    runs: int = 0
    runs_failed: int = 0
    last_run: str = ""


@dataclass
class Watcher:
    """Looks, and keeps what it has read between looks."""

    settings: Settings
    store: ObjectStore
    policy: Policy
    told: Told = field(default_factory=Told)

    def __post_init__(self) -> None:
        self.reader = Reader(self.store, COLUMNS)

    def look(self) -> Due:
        """Whether it is time now; raises WireError, InterestError."""
        now_ms = time.time_ns() // 1_000_000
        try:
            served = models.serving(self.store)
        except ObjectNotFound:
            self.told.due = Due(now=False, why="no model is published")
            return self.told.due
        bundle = models.fetch_bundle(self.store, served.digest, cache_home())
        shown = observed.impressions(self.reader.newest(most=MOST))
        facts, _ = look(bundle, shown, self.policy, served, retrainings.last(self.store), now_ms)
        found = due(self.policy, facts)
        running = [one.experiment.name for one in StoredRecords(self.store).all() if not one.status.finished]
        if found.now and running:
            found = Due(now=False, why=f"{found.why}; after the experiment {running[0]!r}")
        told = self.told
        told.model, told.facts, told.due = served.digest, facts, found
        told.looked_ms, told.looks = now_ms, told.looks + 1
        return found


def policy_of(chosen: Settings) -> Policy:
    """As the settings say."""
    return Policy(least=chosen.retrain_least, cool_down_s=chosen.retrain_cool_down_s, oldest_s=chosen.retrain_oldest_s)


def command(chosen: Settings) -> list[str]:
    """The pipeline, as a user would run it."""
    policy = policy_of(chosen)
    given = {
        "trigger": "now",  # it is due; the first step looks at more of the past, and may see it otherwise
        "least": policy.least,
        "cool_down_s": policy.cool_down_s,
        "oldest_s": policy.oldest_s,
        "experiment": chosen.retrain_experiment,
        "threads": 1,  # the same cores serve, and threads that wait for each other on busy ones take minutes
    }
    parameters = [text for name, value in given.items() for text in ("--param", f"{name}={value}")]
    return [sys.executable, "-m", "rapt", "pipeline", "run", "retraining", "--json", *parameters]


def main() -> None:
    """Look and retrain until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m rapt.retraining", description=__doc__.partition("\n")[0])
    parser.add_argument("--port", required=True, type=int, help="answers /live, /ready, /metrics, /status on loopback")
    options = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.nice(NICE)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    chosen = settings.load()
    watcher = Watcher(chosen, ObjectStore.from_env(chosen.environment()), policy_of(chosen))
    told = watcher.told
    routes = worker_routes(ready=lambda: "", status=lambda: told, registry=registry(told))
    with answering("127.0.0.1", options.port, routes):
        while not ended.is_set():
            try:
                if watcher.look().now:
                    _retrain(chosen, told, ended)
            except (WireError, InterestError) as error:
                told.failures, told.last_failure = told.failures + 1, str(error)
                LOG.warning("cannot look at the model: %s", error)
            ended.wait(chosen.retrain_every_s)


def _retrain(chosen: Settings, told: Told, ended: threading.Event) -> None:
    """Run the pipeline to its end; Ctrl-C for it when this process is to end."""
    assert told.due is not None  # noqa: S101
    LOG.info("retraining: %s", told.due.why)
    told.running, told.runs = True, told.runs + 1
    process = subprocess.Popen(command(chosen), stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
    stop = threading.Thread(target=lambda: _end(process, ended), daemon=True)
    stop.start()
    said, _ = process.communicate()
    try:
        steps = {step["name"]: step for step in json.loads(said)["steps"]}
        told.last_run = _outcome(steps)
    except (ValueError, KeyError):
        if not ended.is_set():
            told.runs_failed += 1
        told.last_run = f"failed with exit code {process.returncode}; see: rapt pipeline runs"
    told.running = False
    LOG.info("retraining: %s", told.last_run)


def _end(process: subprocess.Popen[str], ended: threading.Event) -> None:
    while process.poll() is None:
        if ended.wait(0.2):
            process.send_signal(signal.SIGINT)
            return


def _outcome(steps: dict[str, dict[str, dict[str, str]]]) -> str:
    """In words what came of a run."""
    results = {name: step["result"] for name, step in steps.items()}
    if asked := results.get("propose", {}).get("experiment"):
        return f"{EXPERIMENT}{asked}"
    if "verdict" in results.get("compare", {}):
        return f"no better: {results['compare']['reasons']}"
    return str(results["collect_observations"]["reasons"])


class _Collected(Collector):
    """Prometheus metrics `rapt_retraining_*`; how the model does is told by monitoring.reports."""

    def __init__(self, told: Told) -> None:
        self.told = told

    def collect(self) -> Iterator[Metric]:
        told = self.told
        yield CounterMetricFamily("rapt_retraining_runs", "Retrainings begun.", value=told.runs)
        yield CounterMetricFamily("rapt_retraining_runs_failed", "Those without a verdict.", value=told.runs_failed)
        yield CounterMetricFamily("rapt_retraining_failures", "Looks at the model that failed.", value=told.failures)
        yield GaugeMetricFamily("rapt_retraining_running", "1 while one runs.", value=float(told.running))


def registry(told: Told) -> CollectorRegistry:
    """A registry of that alone."""
    own = CollectorRegistry()
    own.register(_Collected(told))
    return own


if __name__ == "__main__":
    main()
