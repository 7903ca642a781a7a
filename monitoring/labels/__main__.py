"""The label joiner's process: joins exposures with what viewers did, and writes observations.

python -m monitoring.labels --host 127.0.0.1 --port 8090

Environment: RAPT_LABEL_* (settings.py); RAPT_KAFKA_* (the client is confluent-kafka unless RAPT_KAFKA_CLIENT says
python), RAPT_S3_* and AWS_* as everywhere. One core is enough, and only one may run.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading

from monitoring.labels.errors import LabelsError
from monitoring.labels.process import run
from wire.errors import WireError


def main() -> None:
    """Join until SIGTERM or Ctrl-C."""
    options = _options()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        run(options.host, options.port, os.environ, ended)
    except (LabelsError, WireError) as error:
        sys.exit(f"error: {error}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m monitoring.labels", description=__doc__.partition("\n")[0])
    parser.add_argument("--host", required=True, help="address to answer /live, /ready, /metrics, /status at")
    parser.add_argument("--port", required=True, type=int)
    return parser.parse_args()


if __name__ == "__main__":
    main()
