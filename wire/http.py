"""What a worker answers beside its work: GET /live, /ready, /metrics and /status, on a few threads.

with serving("127.0.0.1", 8086, worker_routes(ready=..., status=..., registry=...)) as port: work()
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from wire.errors import PortTaken

LOG = logging.getLogger(__name__)
IDLE_S = 10.0
"""A caller that says nothing for so long is hung up on."""


@dataclass(frozen=True)
class Reply:
    """One answer; the type of `body` is JSON unless `content_type` says otherwise."""

    status: HTTPStatus
    body: bytes
    content_type: str = "application/json"


Route = Callable[[], Reply]


def reply(document: object, status: HTTPStatus = HTTPStatus.OK) -> Reply:
    """A JSON answer of what msgspec can encode."""
    return Reply(status, msgspec.json.encode(document))


def worker_routes(
    *, ready: Callable[[], str], status: Callable[[], object], registry: CollectorRegistry
) -> dict[str, Route]:
    """The four routes of a worker.

    `ready` gives "" or what is still waited for, which makes a 503; `status` any document; /live is 200 as
    long as the process answers at all.
    """

    def readiness() -> Reply:
        waits = ready()
        code = HTTPStatus.SERVICE_UNAVAILABLE if waits else HTTPStatus.OK
        return reply({"ready": not waits, "waits_for": waits}, code)

    return {
        "/live": lambda: reply({"live": True}),
        "/ready": readiness,
        "/status": lambda: reply(status()),
        "/metrics": lambda: Reply(HTTPStatus.OK, generate_latest(registry), CONTENT_TYPE_LATEST),
    }


@contextmanager
def serving(
    host: str, port: int, routes: Mapping[str, Route], other: Callable[[str], Reply] | None = None
) -> Iterator[int]:
    """Inside, the routes are answered, and all other paths by `other` if there is one; gives the port, a free one for
    port 0. Raises `PortTaken`.
    """
    try:
        server = _Server((host, port), routes, other)
    except OSError as error:
        raise PortTaken(
            f"cannot listen on {host}:{port} ({error.strerror}); end what holds it or change the port"
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="http", kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(
        self, address: tuple[str, int], routes: Mapping[str, Route], other: Callable[[str], Reply] | None
    ) -> None:
        self.routes, self.other = routes, other
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        LOG.debug("a caller went away", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "rapt"
    sys_version = ""
    timeout = IDLE_S

    def do_GET(self) -> None:
        answer = self._answer(self.path.partition("?")[0])
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_HEAD = do_GET

    def _answer(self, path: str) -> Reply:
        route, other = self.server.routes.get(path), self.server.other
        if route is None and other is None:
            known = ", ".join(self.server.routes)
            return reply({"error": f"no {path[:100]!r} here; there is {known}"}, HTTPStatus.NOT_FOUND)
        try:
            return route() if route is not None else other(path)  # type: ignore[misc]
        except Exception as error:
            LOG.exception("%s failed", path)
            return reply({"error": f"{type(error).__name__}; see the log"}, HTTPStatus.INTERNAL_SERVER_ERROR)

    def log_message(self, format: str, *arguments: object) -> None:
        LOG.debug(format, *arguments)
