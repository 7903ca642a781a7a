"""The catalogue feed's process: makes each video on topic `videos` scorable by the served model within seconds.

python -m inference.catalogue_feed --host 127.0.0.1 --port 8087

It needs torch (captions and sound are described by training's own code), so it runs on the training image; what
serves predictions does not. Environment: RAPT_KAFKA_*, RAPT_S3_* and AWS_* as everywhere;
RAPT_ALLOW_PRIVATE_ADDRESSES (see intake.py); RAPT_HOME for bundles, and for downloads on their way.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading


def main() -> None:
    """Follow until SIGTERM or Ctrl-C."""
    options = _options()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    # imported here: the decoding process imports this module too and needs none of it
    from inference.catalogue_feed.worker import run
    from inference.errors import InferenceError
    from interest.errors import InterestError
    from wire.errors import WireError

    try:
        run(options.host, options.port, options.model, ended, os.environ)
    except (InferenceError, InterestError, WireError) as error:
        sys.exit(f"error: {error}")
    # not a return: threads that still download may be inside of C code, which must not see the interpreter end
    sys.stderr.flush()
    os._exit(0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m inference.catalogue_feed", description=__doc__.partition("\n")[0])
    parser.add_argument("--host", required=True, help="address to answer /live, /ready, /metrics, /status at")
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument(
        "--model", default="", help="first digits of a model's digest (default: the one published last)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
