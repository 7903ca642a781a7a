"""The predictor: python -m inference.predictor --http_port 8082 --grpc_port 8083 [--model DIGEST]

Environment: RAPT_S3_*, AWS_* (bundles), RAPT_KAFKA_* (new videos; without it the catalogue stays as trained).
"""

from __future__ import annotations

from inference.server import flags, sdk
from inference.server.workers import share

MODULE = "inference.predictor"


def main() -> None:
    """Serve until SIGTERM."""
    options = flags.parser(MODULE, "Scores candidates with one bundle.", http_port=8082, grpc_port=8083)
    flags.follows_bundles(options)
    values = flags.parse(options)
    listen = flags.listen(values)
    if share(MODULE, listen):
        return
    sdk.without_kubernetes()
    from inference.predictor.model import Predictor
    from inference.server.bundle_model import serve_bundles

    serve_bundles(Predictor, listen, values.model)


if __name__ == "__main__":
    main()
