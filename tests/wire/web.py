"""A real HTTP server on loopback that misbehaves on request, for the tests of downloads."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Answers a path by the function that the test put there."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        web = self.server.web
        web.requests.append((self.path, dict(self.headers)))
        self.close_connection = True
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            web.routes.get(self.path.partition("?")[0], status(404))(self)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def answer(self, code: int, body: bytes = b"", cut_after: int | None = None, **headers: str) -> None:
        self.send_response(code)
        headers.setdefault("Content_Length", str(len(body)))
        for name, value in headers.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        sent = body[:cut_after]
        self.server.web.served_bytes += len(sent)
        self.wfile.write(sent)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    web: Web

    def handle_error(self, request: object, client_address: object) -> None:
        pass


Route = Callable[[Handler], None]


@dataclass
class Web:
    """The running server: its address, what it answers, and what it was asked."""

    port: int
    routes: dict[str, Route] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    served_bytes: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"http://{self.place}{path}"

    def asked(self, path: str) -> int:
        return sum(asked == path for asked, _ in self.requests)


def status(code: int, **headers: str) -> Route:
    return lambda handler: handler.answer(code, **headers)


def page(html: str) -> Route:
    return lambda handler: handler.answer(200, html.encode(), Content_Type="text/html; charset=utf-8")


def file(body: bytes, *, etag: str = "", cuts: list[int] | None = None, ranges: bool = True) -> Route:
    """A media file with an ETag; each entry of `cuts` breaks one answer off after that many bytes."""
    cuts = cuts if cuts is not None else []

    def route(handler: Handler) -> None:
        kind = {"Content_Type": "video/mp4", "ETag": etag}
        cut = cuts.pop(0) if cuts else None
        if etag and handler.headers.get("If-None-Match") == etag:
            return handler.answer(304, Content_Length="", **kind)
        match = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        if ranges and match and handler.headers.get("If-Range") == etag:
            start = int(match[1])
            where = f"bytes {start}-{len(body) - 1}/{len(body)}"
            return handler.answer(206, body[start:], cut, Content_Range=where, **kind)
        return handler.answer(200, body, cut, **kind)

    return route


def first(failures: list[Route], then: Route) -> Route:
    """Each of `failures` once, then the other for ever."""
    return lambda handler: (failures.pop(0) if failures else then)(handler)


@contextlib.contextmanager
def serving() -> Iterator[Web]:
    """A server on a free port of 127.0.0.1; it is gone on leaving."""
    server = Server(("127.0.0.1", 0), Handler)
    server.web = web = Web(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield web
    finally:
        web.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
