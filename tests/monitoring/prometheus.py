"""A real Prometheus on loopback, asked over HTTP."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.ports import free_ports
from tests.waiting import until

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="queries are asked of a real Prometheus, of Debian's package prometheus"
)
AT_ONCE = {"scrape_interval": "1s", "evaluation_interval": "1s"}


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30)
        document = answer.json()
        assert document["status"] == "success", document
        return document["data"]

    def values(self, query: str, begin_s: float, end_s: float) -> list[float]:
        """All finite values that a query has had, second by second."""
        asked = self.get("query_range", query=query, start=f"{begin_s:.0f}", end=f"{end_s:.0f}", step="1")
        found = [float(value) for series in asked["result"] for _, value in series["values"]]
        return [value for value in found if isfinite(value)]

    def up(self) -> set[str]:
        """Jobs that it has read."""
        found = self.get("query", query="up == 1")["result"]
        return {series["metric"]["job"] for series in found}


@contextmanager
def prometheus(folder: Path, configuration: dict[str, Any]) -> Iterator[Prometheus]:
    """Started with a configuration, but reading and judging every second; ended afterwards."""
    port = free_ports()
    (folder / "prometheus.yml").write_text(yaml.safe_dump({**configuration, "global": AT_ONCE}))
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
               f"--web.listen-address=127.0.0.1:{port}"]  # fmt: skip
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            until(lambda: _ready(process, port, folder), "Prometheus", 60)
            yield Prometheus(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait(60)


def _ready(process: subprocess.Popen[bytes], port: int, folder: Path) -> bool:
    assert process.poll() is None, (folder / "prometheus.log").read_text()[-2000:]
    try:
        return httpx.get(f"http://127.0.0.1:{port}/-/ready").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
