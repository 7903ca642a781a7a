"""Evidently's UI over the reports of the object store.

python -m monitoring.reports.workspace --host 127.0.0.1 --port 8095 --folder workspace

The folder is made again from the store, which stays the only place where reports are kept; new ones come in meanwhile.
Nothing is asked of who calls: let nobody but yourself reach it (loopback, or a port-forward).
"""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
from pathlib import Path

from monitoring.reports.evidently import SNAPSHOT, Reports
from wire import reports
from wire.errors import ObjectNotFound, WireError
from wire.objects import ObjectStore

LOG = logging.getLogger(__name__)
PROJECT = "Rapt"
EVERY_S = 30.0
NEWEST = 200


def serve(store: ObjectStore, folder: Path, host: str, port: int) -> int:
    """Evidently's UI until SIGTERM or Ctrl-C; returns its exit code."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    workspace = Reports(folder, PROJECT)
    bring(store, workspace)
    command = [sys.executable, "-m", "evidently.cli", "ui", "--workspace", str(folder), "--host", host]
    # Without a secret anybody might change the workspace; nobody knows this one.
    environment = {**os.environ, "DO_NOT_TRACK": "1", "EVIDENTLY_SECRET": secrets.token_hex(16)}
    process = subprocess.Popen([*command, "--port", str(port)], env=environment)
    try:
        while process.poll() is None and not ended.wait(EVERY_S):
            bring(store, workspace)
    finally:
        process.terminate()
        process.wait()
    return 0 if ended.is_set() else process.returncode


def bring(store: ObjectStore, workspace: Reports) -> None:
    """Add the reports that are not there yet; when the store does not answer, the next time."""
    try:
        for report in reversed(reports.newest(store, NEWEST)):
            if SNAPSHOT in report.files and report.name not in workspace.names:
                workspace.add(report.name, store.get_bytes(report.files[SNAPSHOT]))
    except ObjectNotFound:
        LOG.debug("a report went meanwhile")
    except WireError as error:
        LOG.warning("cannot bring reports: %s", error)


def main() -> None:
    """Show the reports until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.reports.workspace", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--host", required=True, help="address to answer at")
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--folder", required=True, type=Path, help="where Evidently keeps its workspace")
    options = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    sys.exit(serve(ObjectStore.from_env(), options.folder, options.host, options.port))


if __name__ == "__main__":
    main()
