"""The dashboard's process.

python -m monitoring.app --host 127.0.0.1 --port 8501

Environment: settings.py; RAPT_S3_*, AWS_* and RAPT_KAFKA_* as everywhere. It is ready when /_stcore/health answers 200.
It has no login: whoever reaches it may act as any viewer, so leave it on loopback.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from pathlib import Path

from streamlit import net_util
from streamlit.web.cli import main as streamlit

from monitoring.app.theme import OPTIONS

HEAVY = ("altair", "pandas", "monitoring.app.atlas", "monitoring.app.figures", "monitoring.app.trials")
"""Imported before it is ready, so that no page waits for them."""
SCRIPT = Path(__file__).with_name("main.py")


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m monitoring.app", description=__doc__.partition("\n")[0])
    parser.add_argument("--host", default="127.0.0.1", help="address to answer at")
    parser.add_argument("--port", required=True, type=int)
    options = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("kafka", "httpx"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Asked from a foreign page, it would otherwise look its own address up on the web before it refuses.
    net_util._external_ip = options.host
    for heavy in HEAVY:
        importlib.import_module(heavy)
    streamlit(["run", str(SCRIPT), *arguments(options.host, options.port)])


def arguments(host: str, port: int) -> list[str]:
    """What Streamlit is told: nothing leaves the machine, no file is watched, no traceback is shown."""
    chosen = {
        "server.address": host, "server.port": port, "server.headless": True, "server.fileWatcherType": "none",
        "server.enableXsrfProtection": True, "server.enableCORS": True, "server.maxUploadSize": 1,
        "browser.gatherUsageStats": False, "client.showErrorDetails": "none", "client.showErrorLinks": False,
        "client.toolbarMode": "viewer", "logger.hideWelcomeMessage": True, **OPTIONS,
    }  # fmt: skip
    return [f"--{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in chosen.items()]


if __name__ == "__main__":
    main()
