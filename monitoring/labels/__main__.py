"""The label join: python -m monitoring.labels --host 127.0.0.1 --port 8088

Environment: RAPT_LABEL_* (settings.py), RAPT_KAFKA_*, RAPT_S3_* and AWS_* as everywhere. One core is enough.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from monitoring.labels import retention
from monitoring.labels.durations import Durations
from monitoring.labels.errors import LabelsError
from monitoring.labels.joiner import Joiner
from monitoring.labels.metrics import Status, registry
from monitoring.labels.settings import LabelSettings
from wire.errors import KafkaUnset, ObjectStoreUnset, WireError
from wire.http import serving, worker_routes
from wire.kafka import KafkaSettings
from wire.kafka.pulse import Pulse
from wire.objects import ObjectStore

LOG = logging.getLogger(__name__)
AGAIN_S = 1.0
SWEEP_EVERY_S = 3600.0


def main() -> None:
    """Join until SIGTERM or Ctrl-C; what is closed by then is written."""
    parser = argparse.ArgumentParser(prog="python -m monitoring.labels", description=__doc__.partition("\n")[0])
    parser.add_argument("--host", required=True, help="address to answer /live, /ready, /metrics, /status at")
    parser.add_argument("--port", required=True, type=int)
    options = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        run(options.host, options.port, os.environ, ended)
    except (LabelsError, WireError) as error:
        sys.exit(f"error: {error}")


def run(host: str, port: int, env: Mapping[str, str], ended: threading.Event) -> None:
    """Join until `ended`; an outage is waited out, from the last commit. Raises LabelsError, unset settings."""
    settings, kafka, store = LabelSettings.from_env(env), KafkaSettings.from_env(env), ObjectStore.from_env(env)
    home = env.get("RAPT_HOME")
    durations = Durations(store, Path(home) / "cache" if home else Path("/tmp/rapt-cache"))  # noqa: S108 - verified
    status, pulse = Status(waits_for="the brokers"), Pulse(kafka)
    routes = worker_routes(ready=lambda: status.waits_for, status=lambda: status, registry=registry(status))
    pulse.start()
    try:
        with serving(host, port, routes):
            while not ended.is_set():
                try:
                    _follow(Joiner(store, kafka, settings, durations, pulse, status), settings, ended)
                except (KafkaUnset, ObjectStoreUnset):
                    raise
                except WireError as error:
                    LOG.warning("cannot join for now: %s", error)
                    status.waits_for = status.last_failure = str(error)
                    ended.wait(AGAIN_S)
    finally:
        pulse.stop()


def _follow(joiner: Joiner, settings: LabelSettings, ended: threading.Event) -> None:
    sweep_at = 0.0
    try:
        while not ended.is_set():
            joiner.step()
            if time.monotonic() >= sweep_at and joiner.last is not None:
                sweep_at = time.monotonic() + SWEEP_EVERY_S
                retention.sweep(joiner.store, joiner.last, settings.keep_days)
        joiner.commit()
    finally:
        joiner.close()


if __name__ == "__main__":
    main()
