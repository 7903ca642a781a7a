"""The explainer: python -m inference.explainer --http_port 8084 --grpc_port 8085 [--model DIGEST]

Environment: as the predictor's. It decodes the videos that it shows the frames of, so its image has the codecs.
"""

from __future__ import annotations

import sys

from inference.server import flags, sdk
from inference.server.workers import run_workers, shares_port

MODULE = "inference.explainer"


def main() -> None:
    """Serve until SIGTERM."""
    options = flags.parser(MODULE, "Takes predictions apart.", http_port=8084, grpc_port=8085)
    options.add_argument("--model", default="", help="digest of the bundle; empty: the one published last, followed")
    values = flags.parse(options)
    listen = flags.listen(values)
    if listen.workers > 1 and not shares_port():
        run_workers(MODULE, listen.workers, sys.argv[1:], listen.grace_s)
        return
    sdk.without_kubernetes()
    from inference.explainer.model import Explainer
    from inference.server.serve import serve

    serve(lambda: Explainer.from_env(listen.model_name, values.model), listen)


if __name__ == "__main__":
    main()
