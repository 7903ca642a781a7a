"""The explainer: python -m inference.explainer --http_port 8084 --grpc_port 8085 [--model DIGEST]

Environment: as the predictor's. It decodes the videos that it shows the frames of, so its image has the codecs.
"""

from __future__ import annotations

from inference.server import flags, sdk
from inference.server.workers import share

MODULE = "inference.explainer"


def main() -> None:
    """Serve until SIGTERM."""
    options = flags.parser(MODULE, "Takes predictions apart.", http_port=8084, grpc_port=8085)
    flags.follows_bundles(options)
    options.add_argument("--predictor_host", default="", help="what KServe passes to every explainer; not used")
    values = flags.parse(options)
    listen = flags.listen(values)
    if share(MODULE, listen):
        return
    sdk.without_kubernetes()
    from inference.explainer.model import Explainer
    from inference.server.bundle_model import serve_bundles

    serve_bundles(Explainer, listen, values.model)


if __name__ == "__main__":
    main()
