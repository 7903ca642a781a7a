"""The dashboard in headless Chromium, before a whole stack with live viewers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import urllib3
from msgspec.structs import replace
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from interest.experiments.spec import Experiment, Guardrail, Metric, Spec
from monitoring.experiments.records import StoredRecords
from rapt.traffic import Traffic
from tests.browser import axe
from tests.inference.catalogue_feed.material import make_clips
from tests.inference.endpoint import DEADLINE_S, Endpoint
from tests.monitoring.app import made, stage
from tests.monitoring.app.stage import HOSTILE, Model
from tests.ports import free_ports
from tests.waiting import until

PICTURES = Path("build") / "browser"
WIDE, NARROW = (1280, 900), (375, 800)
DISTURBED = "ERR_NETWORK_CHANGED"
"""Chromium gives requests up when another program of the machine adds or removes a network; the page is opened anew."""
IDLE = '[data-testid="stApp"][data-test-script-state="notRunning"]'
GUESSED = ("_stcore/health", "_stcore/host-config")
"""Streamlit's client looks for these below a page's own address first, and then where they are."""
SPEC = Spec(
    candidate="0" * 64, share=(0.5,), step_after="5s", window="2s", deadline="1h",
    guardrails=(Guardrail(metric=Metric.ERRORS, margin=0.5), Guardrail(metric=Metric.LATENCY, margin=1000.0)),
)  # fmt: skip


def chromium() -> str:
    """Its path; skips where something of what these tests need is missing."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("chromium is not on PATH (Debian: apt-get install chromium)")
    if shutil.which("npm") is None:
        pytest.skip("npm is not on PATH (Debian: apt-get install npm): it brings axe-core")
    return found


@dataclass(frozen=True)
class Dashboard:
    """What runs: the dashboard's address and process, and the stack and viewers behind it."""

    url: str
    process: psutil.Process
    endpoint: Endpoint
    model: Model
    traffic: Traffic


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium()
    arguments = ["--no-sandbox"] if os.getuid() == 0 else []
    with sync_playwright() as playing:
        running = playing.chromium.launch(executable_path=path, args=arguments)
        yield running
        running.close()


@pytest.fixture(scope="module")
def axe_source() -> str:
    chromium()
    return axe.script()


@pytest.fixture(scope="module")
def dashboard(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """A trained model that serves, viewers, an experiment, reports and runs, and the dashboard over all of it."""
    folder = tmp_path_factory.mktemp("dashboard")
    model = stage.train(make_clips(folder / "clips"), folder / "model")
    other = stage.retold(model, folder / "other")
    with stage.running(folder / "home", model) as endpoint:
        stage.publish(endpoint, other, serve=False)
        with stage.viewers(endpoint, model, count=500, rate=15.0) as traffic:
            spec = replace(SPEC, candidate=other.bundle.digest)
            records = StoredRecords(endpoint.store)
            records.apply(Experiment(name="new-model", spec=spec), time.time_ns() // 1_000_000)
            made.several(endpoint.store, HOSTILE)
            made.run(endpoint.settings.home / "runs", "20261126-010203-ab12", reason=HOSTILE)
            until(lambda: traffic.requests > 0, "traffic")
            with started(stage.variables(endpoint), folder / "dashboard.log") as (url, process):
                yield Dashboard(url, process, endpoint, model, traffic)
                assert process.is_running(), "it stayed up"


class started:
    """Inside, the dashboard runs as a user starts it, and is ready; it ends on SIGTERM."""

    def __init__(self, variables: dict[str, str], log: Path) -> None:
        self.variables, self.log = variables, log

    def __enter__(self) -> tuple[str, psutil.Process]:
        port = free_ports()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAPT_", "AWS_"))}
        with self.log.open("w") as log:
            self.running = subprocess.Popen(
                [sys.executable, "-m", "monitoring.app", "--host", "127.0.0.1", "--port", str(port)],
                env={**kept, **self.variables}, stdout=log, stderr=log,
            )  # fmt: skip
        url = f"http://127.0.0.1:{port}"

        def ready() -> bool:
            assert self.running.poll() is None, self.log.read_text()[-2000:]
            try:
                return urllib3.request("GET", f"{url}/_stcore/health", retries=False, timeout=2.0).status == 200
            except urllib3.exceptions.HTTPError:
                return False

        until(ready, "the dashboard", DEADLINE_S)
        return url, psutil.Process(self.running.pid)

    def __exit__(self, *_: object) -> None:
        self.running.send_signal(signal.SIGTERM)
        assert self.running.wait(30) == 0, "it ends on SIGTERM"


@dataclass
class Visit:
    """A person at the dashboard; `wrong` is what their browser complained of."""

    page: Page
    url: str
    wrong: list[str] = field(default_factory=list)
    disturbed: bool = False

    def listen(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.wrong.append(f"page error: {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._answered)

    def open(self, path: str = "") -> float:
        """Go to a page by its address; seconds until it was there whole."""
        for _ in range(3):
            began, self.disturbed = time.monotonic(), False
            try:
                self.page.goto(f"{self.url}/{path}")
                self.settled()
            except PlaywrightError:
                if not self.disturbed:
                    raise
            if not self.disturbed:
                break
        return time.monotonic() - began

    def settled(self) -> None:
        """Wait until the page is there and nothing runs; no hostile text may have run either."""
        self.page.wait_for_selector("h1", timeout=60_000)
        self.page.wait_for_selector(IDLE, timeout=60_000)
        self.page.wait_for_function("() => !document.querySelector('[data-testid=stSpinner]')", timeout=60_000)
        assert self.page.evaluate("window.hacked") is None

    def picture(self, name: str) -> None:
        """Keep the whole page as it looks now."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        width = self.page.viewport_size["width"] if self.page.viewport_size else 0
        height = self.page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        before = self.page.viewport_size
        self.page.set_viewport_size({"width": width, "height": max(400, min(int(height) + 40, 5000))})
        self.page.wait_for_timeout(300)  # charts are drawn anew
        self.page.screenshot(path=PICTURES / f"{name}-{width}.png")
        if before is not None:
            self.page.set_viewport_size(before)

    def _console(self, message: ConsoleMessage) -> None:
        where = str(message.location.get("url", ""))
        if message.type == "error" and not where.endswith(GUESSED) and DISTURBED not in message.text:
            self.wrong.append(f"console: {message.text} ({where})")

    def _failed(self, request: Request) -> None:
        # What is on its way when one turns to another page, and a video that is not played to its end, are given up.
        if DISTURBED in str(request.failure):
            self.disturbed = True
        elif request.failure != "net::ERR_ABORTED":
            self.wrong.append(f"request failed: {request.url} ({request.failure})")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and not response.url.endswith(GUESSED):
            self.wrong.append(f"{response.status} {response.url}")


@pytest.fixture
def visit(dashboard: Dashboard, browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Visits in windows of a size; at the end no browser may have complained."""
    opened: list[Visit] = []

    def begin(size: tuple[int, int] = WIDE) -> Visit:
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        one = Visit(page, dashboard.url)
        one.listen()
        opened.append(one)
        return one

    yield begin
    for one in opened:
        one.page.close()
        assert one.wrong == []
