"""A bare FastAPI application: python -m benchmarks.peers.fastapi_app PORT"""

import sys

import msgspec
import uvicorn
from fastapi import FastAPI, Request, Response

from benchmarks.peers.host import Host


def serve(host: Host, port: int) -> None:
    """Answer until the process is ended."""
    app = FastAPI()

    @app.post("/v1/models/interest:predict")
    async def predict(request: Request) -> Response:
        """Scores on the event loop: for one process that is the quickest."""
        answer = host.answer(msgspec.json.decode(await request.body()))
        return Response(msgspec.json.encode(answer), media_type="application/json")

    uvicorn.run(app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", access_log=False,
                log_level="warning")  # fmt: skip


if __name__ == "__main__":
    serve(Host.from_env(), int(sys.argv[1]))
