"""The predictor: python -m inference.predictor --http_port 8082 --grpc_port 8083 [--model DIGEST]

Environment: RAPT_S3_*, AWS_* (bundles), RAPT_KAFKA_* (new videos; without it the catalogue stays as trained).
"""

from __future__ import annotations

import sys

from inference.server import flags, sdk
from inference.server.workers import run_workers, shares_port

MODULE = "inference.predictor"


def main() -> None:
    """Serve until SIGTERM."""
    options = flags.parser(MODULE, "Scores candidates with one bundle.", http_port=8082, grpc_port=8083)
    options.add_argument("--model", default="", help="digest of the bundle; empty: the one published last, followed")
    values = flags.parse(options)
    listen = flags.listen(values)
    if listen.workers > 1 and not shares_port():
        run_workers(MODULE, listen.workers, sys.argv[1:], listen.grace_s)
        return
    sdk.without_kubernetes()
    from inference.predictor.model import Predictor
    from inference.server.serve import serve

    serve(lambda: Predictor.from_env(listen.model_name, values.model), listen)


if __name__ == "__main__":
    main()
