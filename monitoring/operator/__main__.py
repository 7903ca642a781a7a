"""The operator of experiments: python -m monitoring.operator --host 0.0.0.0 --port 8091

Environment: RAPT_RELEASE (the chart's), RAPT_S3_*, AWS_* (models, observations, audits), RAPT_KAFKA_* (topic `arms`);
KUBERNETES_SERVICE_* and the service account's token come from the kubelet.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import threading

from monitoring.experiments import loop
from monitoring.experiments.metrics import Told, registry
from monitoring.operator.api import Access
from monitoring.operator.deletions import operate
from monitoring.operator.keeper import Keeper, Traces
from wire.http import serving, worker_routes

LOG = logging.getLogger(__name__)


def main() -> None:
    """Keep the experiments of this pod's namespace going until SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.operator", description=(__doc__ or "").partition(":")[0]
    )
    parser.add_argument("--host", default="127.0.0.1", help="where /live, /ready, /metrics and /status are answered")
    parser.add_argument("--port", required=True, type=int, help="its port")
    options = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("kafka", "kopf.objects", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    # A deletion that waits for its candidate to end is in order, though kopf calls it an error.
    logging.getLogger("kopf.objects").addFilter(lambda record: "failed temporarily" not in record.getMessage())
    told = Told()
    routes = worker_routes(ready=lambda: told.waits_for, status=lambda: told, registry=registry(told))
    with serving(options.host, options.port, routes):
        run(Access.from_env(), os.environ.get("RAPT_RELEASE", "rapt"), told)


def run(access: Access, release: str, told: Told) -> None:
    """Look in a thread, hold deletions back in this one; when one of the two ends, so does the other."""
    ended, traces = threading.Event(), Traces()

    def looks() -> None:
        try:
            loop.run(lambda: Keeper.from_env(access, release, traces), told, ended)
        except Exception as error:
            LOG.exception("the looks have ended")
            failures.append(error)
        finally:
            ended.set()

    failures: list[Exception] = []
    thread = threading.Thread(target=looks, name="looks")
    thread.start()
    try:
        asyncio.run(operate(access, traces, ended))
    finally:
        ended.set()
        thread.join()
    if failures:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
