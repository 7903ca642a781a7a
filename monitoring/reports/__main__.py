"""Looks at the serving model all the time, for Prometheus; lists the reports, and has the job make them on a laptop.

python -m monitoring.reports --host 127.0.0.1 --port 8093 [--report-every 3600] [--keep-days 7]

GET / lists the reports; /live, /ready, /metrics, /status as everywhere. On a cluster a CronJob makes the reports.
Environment: RAPT_S3_*, AWS_* as everywhere.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import threading
import time

from components.runtime import cache_home
from interest.errors import InterestError
from monitoring.reports import site
from monitoring.reports.job import KEEP_DAYS
from monitoring.reports.look import Looker
from monitoring.reports.metrics import Told, registry
from wire import observations, reports
from wire.errors import ObjectNotFound, WireError
from wire.http import serving, worker_routes
from wire.objects import ObjectStore
from wire.reports import MODEL, Report

LOG = logging.getLogger(__name__)
LOOK_EVERY_S = 15.0
EASE = 20.0
"""A look that took so many seconds is followed by this many times as long a pause."""
JOB_S = 600.0
NICE = 10
"""Serving comes first."""


def main() -> None:
    """Look until SIGTERM or Ctrl-C."""
    options = _options()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.nice(NICE)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    store, told = ObjectStore.from_env(), Told()
    routes = worker_routes(ready=lambda: "", status=lambda: told, registry=registry(told))
    routes["/"] = lambda: site.page(store)
    looker, head = Looker(store, cache_home()), -1
    with serving(options.host, options.port, routes, other=lambda path: site.file(store, path)):
        while not ended.is_set():
            took_s = 0.0
            try:
                began = time.monotonic()
                now = found.seq if (found := observations.head(store)) else 0
                if now != head or told.report is None:
                    told.report, head = looker.look().report, now
                took_s = time.monotonic() - began
                last = next(iter(reports.newest(store, 1, MODEL)), None)
                if options.report_every and due(last, told.report, options.report_every):
                    _make(told, options.keep_days, ended)
                    last = next(iter(reports.newest(store, 1, MODEL)), last)
                told.newest, told.newest_ms = (last.name, last.made_ms) if last else ("", 0)
                told.looks += 1
            except ObjectNotFound:
                told.report = None  # no model serves yet
            except (WireError, InterestError) as error:
                told.failures, told.last_failure = told.failures + 1, str(error)
                LOG.warning("cannot look at the model: %s", error)
            ended.wait(max(LOOK_EVERY_S, EASE * took_s))


def due(last: Report | None, now: Report, every_s: float) -> bool:
    """Whether a report of what is seen now is worth its while: the first of a model, another word, or a time later."""
    if now.verdict is None or (last is not None and last.head == now.head):
        return False
    if last is None or last.verdict is None or last.model != now.model:
        return True
    if now.made_ms - last.made_ms >= 1000 * every_s:
        return True
    return _said(last) != _said(now)


def _said(report: Report) -> tuple[bool, bool]:
    """What a report comes to: drifted by its columns, which each look compares; decayed."""
    drifted = report.verdict is not None and any(one.drifted for one in report.verdict.columns)
    return drifted, report.decay is not None and report.decay.decayed


def _make(told: Told, keep_days: float, ended: threading.Event) -> None:
    """Run the job in a process of its own, whose memory goes with it."""
    process = subprocess.Popen([sys.executable, "-m", "monitoring.reports.job", "--days", str(keep_days)])
    give_up_at = time.monotonic() + JOB_S
    while process.poll() is None:
        if ended.wait(0.2) or time.monotonic() > give_up_at:
            process.terminate()
            process.wait()
            break
    if process.returncode == 0:
        told.reports += 1
    elif not ended.is_set():
        told.reports_failed += 1
        told.last_failure = f"a report could not be made: exit code {process.returncode}; see the log"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m monitoring.reports", description=__doc__.partition("\n")[0])
    parser.add_argument("--host", required=True, help="address to answer at")
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--report-every", type=float, default=0.0, help="seconds between reports; 0: make none")
    parser.add_argument("--keep-days", type=float, default=KEEP_DAYS, help="reports older than this are deleted")
    return parser.parse_args()


if __name__ == "__main__":
    main()
