"""LitServe: python -m benchmarks.peers.litserve_app PORT"""

import sys
from typing import Any

import litserve

from benchmarks.peers.host import Host


class Api(litserve.LitAPI):
    """One worker, no batching: the requests are ragged."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        self.host = Host.from_env()

    def decode_request(self, request: dict[str, Any]) -> dict[str, Any]:
        return request

    def predict(self, x: dict[str, Any]) -> dict[str, Any]:
        return self.host.answer(x)

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Api(api_path="/v1/models/interest:predict"), accelerator="cpu", fast_queue=True)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning",
               access_log=False)  # fmt: skip
