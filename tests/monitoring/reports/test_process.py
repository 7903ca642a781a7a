"""The process of reports on a real store: what it tells Prometheus and a browser, and when it has a report made."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import httpx
import pytest
from msgspec.structs import replace

from interest.drift.verdict import verdict
from monitoring.reports.__main__ import due
from tests.monitoring.reports.conftest import TOPICS, Served
from tests.ports import free_ports
from tests.waiting import until
from wire import reports
from wire.reports import MODEL, Report, Span

NOW_MS = 1_800_000_000_000
SPAN = Span(name="x", rows=100)


@contextmanager
def process(environment: dict[str, str], *more: str) -> Iterator[httpx.Client]:
    port = free_ports()
    command = [sys.executable, "-m", "monitoring.reports", "--host", "127.0.0.1", "--port", str(port), *more]
    started = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            until(lambda: _answers(client), "an answer", 60)
            yield client
        started.send_signal(signal.SIGTERM)
        assert started.wait(30) == 0
    finally:
        if started.poll() is None:
            started.kill()
            started.wait()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/ready").status_code == HTTPStatus.OK
    except httpx.TransportError:
        return False


def test_it_looks_has_a_report_made_and_shows_it(served: Served) -> None:
    served.observe(1)
    with process(served.environment, "--report-every", "3600") as client:
        until(lambda: client.get("/status").json()["reports"] == 1, "a report", 120)
        (kept,) = reports.newest(served.store)
        page = client.get("/").text
        assert f"/reports/{kept.name}/evidently.html" in page
        assert client.get(f"/reports/{kept.name}/evidently.html").headers["content-type"].startswith("text/html")
        assert client.get(f"/reports/{kept.name}/report.json").json()["model"] == served.bundle.digest
        for path in (f"/reports/{kept.name}/nothing", "/reports/x/report.json", "/reports/", "/etc/passwd"):
            assert client.get(path).status_code == HTTPStatus.NOT_FOUND, path
        told = client.get("/metrics").text
    for line in ("rapt_model_ne ", "rapt_model_drifted 0.0", "rapt_model_decayed ", "rapt_reports_made_total 1.0",
                 'rapt_slice_auc{level="ranked",slice="page"}', 'rapt_drift_distance{column="engaged"}'):  # fmt: skip
        assert line in told, line
    assert f'rapt_slice_impressions{{level="{TOPICS[1]}",slice="topic"}}' in told


def test_without_a_model_it_waits_and_says_so(reports_env: dict[str, str]) -> None:
    with process(reports_env, "--report-every", "60") as client:
        assert "no report yet" in client.get("/").text
        assert "rapt_model_ne" not in client.get("/metrics").text


def test_a_store_that_is_away_is_told_and_waited_for(served: Served) -> None:
    with process({**served.environment, "RAPT_S3_ENDPOINT": "http://127.0.0.1:9", "RAPT_S3_DEADLINE_S": "1"}) as client:
        until(lambda: client.get("/status").json()["failures"] > 0, "a failure", 60)
        assert "rapt_reports_looks_failed_total 1.0" in client.get("/metrics").text
        assert client.get("/").status_code == HTTPStatus.INTERNAL_SERVER_ERROR


def report(**changes: object) -> Report:
    rows = {"x": list(range(100))}
    made = Report(kind=MODEL, name="n", made_ms=NOW_MS, model="a", head=1, reference=SPAN, current=SPAN,
                  verdict=verdict(rows, rows))  # fmt: skip
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("last", "now", "is_due"),
    [
        (None, report(), True),
        (None, report(verdict=None), False),
        (report(), report(made_ms=NOW_MS + 7_200_000), False),  # nobody has done anything since
        (report(), report(head=2), False),
        (report(), report(head=2, made_ms=NOW_MS + 3_600_000), True),
        (report(), report(head=2, model="b"), True),
        (report(verdict=None), report(head=2), True),
        (report(), report(head=2, verdict=verdict({"x": [0] * 100}, {"x": [9] * 100})), True),
    ],
)
def test_when_a_report_is_due(last: Report | None, now: Report, is_due: bool) -> None:
    assert due(last, now, 3600.0) is is_due
