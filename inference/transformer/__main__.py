"""The endpoint: python -m inference.transformer --predictor_host HOST[:PORT] --explainer_host HOST[:PORT]

Environment: RAPT_STATE_FOLDER (the feeder's), RAPT_KAFKA_* (exposures; without it none are logged).
"""

from __future__ import annotations

import os
from pathlib import Path

from inference.server import flags, sdk
from inference.server.workers import share

MODULE = "inference.transformer"


def main() -> None:
    """Serve until SIGTERM."""
    options = flags.parser(MODULE, "A viewer and videos in, probabilities out.", http_port=8080, grpc_port=8081)
    options.add_argument("--predictor_host", default="127.0.0.1:8082", help="the predictor, HOST or HOST:PORT")
    options.add_argument("--explainer_host", default="127.0.0.1:8084", help="the explainer, HOST or HOST:PORT")
    options.add_argument("--deadline_ms", type=float, default=1000.0, help="time that a predictor has to answer")
    options.add_argument("--candidate_ms", type=float, default=500.0, help="time that a candidate on trial has")
    options.add_argument("--hedge_ms", type=float, default=0.0, help="ask again after this long; 0: never")
    options.add_argument("--oldest_state_ms", type=int, default=10_000, help="answer 503 from a state further behind")
    values = flags.parse(options)
    if "RAPT_STATE_FOLDER" not in os.environ:
        options.error("RAPT_STATE_FOLDER is not set: the folder in which the feeder keeps viewers' states")
    listen = flags.listen(values)
    if share(MODULE, listen):
        return
    sdk.without_kubernetes()
    from inference.server.serve import serve
    from inference.transformer.backend import Limits
    from inference.transformer.model import Settings, Transformer

    limits = Limits(values.deadline_ms / 1e3, values.hedge_ms / 1e3 or None)
    folder = Path(os.environ["RAPT_STATE_FOLDER"])
    candidate = Limits(values.candidate_ms / 1e3)
    settings = Settings(values.predictor_host, values.explainer_host, folder, limits, candidate, values.oldest_state_ms)
    serve(lambda: Transformer.from_env(listen.model_name, settings), listen)


if __name__ == "__main__":
    main()
