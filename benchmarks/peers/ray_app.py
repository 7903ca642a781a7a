"""Ray Serve: python -m benchmarks.peers.ray_app PORT"""

import sys
import time
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from benchmarks.peers.host import Host


@serve.deployment(num_replicas=1, max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.5})
class Interest:
    """One replica behind Ray's own proxy."""

    def __init__(self) -> None:
        self.host = Host.from_env()

    async def __call__(self, request: Request) -> dict[str, Any]:
        return self.host.answer(await request.json())


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Interest.bind(), route_prefix="/")
    while True:
        time.sleep(3600)
