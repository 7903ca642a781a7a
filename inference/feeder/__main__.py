"""The feeder's process: keeps every viewer's newest feedback events where servers read them.

python -m inference.feeder --host 127.0.0.1 --port 8086

Environment: RAPT_STATE_* (settings.py); RAPT_KAFKA_* (the client is confluent-kafka unless RAPT_KAFKA_CLIENT says
python), RAPT_S3_* and AWS_* as everywhere. One core is enough; the state is read by inference.state.open_reader.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading

from inference.errors import InferenceError
from inference.feeder.process import run
from wire.errors import WireError


def main() -> None:
    """Follow until SIGTERM or Ctrl-C."""
    options = _options()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        run(options.host, options.port, os.environ, ended)
    except (InferenceError, WireError) as error:
        sys.exit(f"error: {error}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m inference.feeder", description=__doc__.partition("\n")[0])
    parser.add_argument("--host", required=True, help="address to answer /live, /ready, /metrics, /status at")
    parser.add_argument("--port", required=True, type=int)
    return parser.parse_args()


if __name__ == "__main__":
    main()
