"""uvicorn's HTTP protocol with a short way for the routes of a `Front`.

What ASGI puts between a socket and a handler (a scope, two messages for an answer, two packets) costs a third of all
that Python does for a prediction. A request whose method and path are a route as they stand goes from the parser to
its handler, and its answer leaves in one packet; any other takes uvicorn's way, where the front answers the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from inference.server.front import Front, Handler, Reply, Request, refused, too_large

Header = tuple[bytes, bytes]


class Exchange:
    """A request on the short way, and its answer; what uvicorn asks of its own `RequestResponseCycle`."""

    def __init__(
        self, transport: asyncio.Transport, front: Front, route: str, handler: Handler, headers: list[Header],
        *, keep_alive: bool, on_response: Callable[[], None],
    ) -> None:  # fmt: skip
        self.transport, self.front, self.route, self.handler, self.headers = transport, front, route, handler, headers
        self.keep_alive = keep_alive
        self.on_response = on_response
        self.parts: list[bytes] = []
        self.size = 0
        self.started = self.response_complete = self.disconnected = False
        self.message_event = asyncio.Event()
        """Set when the body is whole, and when the caller is gone."""

    @property
    def too_large(self) -> bool:
        """Whether the body has more bytes than are read."""
        return self.size > self.front.max_body_bytes

    def add(self, part: bytes) -> None:
        """A part of the body; none is kept of one that is too large."""
        self.size += len(part)
        if self.too_large:
            self.parts.clear()
        else:
            self.parts.append(part)

    async def run_asgi(self, _: object) -> None:
        """Answer; it may start before the body is whole when requests were sent one behind the other."""
        await self.message_event.wait()
        if self.disconnected:
            return
        if self.too_large:
            reply = refused(too_large(self.front.max_body_bytes))
        else:
            body = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
            reply = await self.front.reply(self.route, self.handler, Request(dict(self.headers), body))
        self.response_complete = True
        if not self.disconnected:
            self.transport.write(self._written(reply))
            if not self.keep_alive:
                self.transport.close()
        self.on_response()

    def _written(self, reply: Reply) -> bytes:
        more = b"".join([b"%s: %s\r\n" % header for header in reply.headers])
        if not self.keep_alive:
            more += b"connection: close\r\n"
        return b"%scontent-type: %s\r\ncontent-length: %d\r\n%s\r\n%s" % (
            STATUS_LINE[reply.status], reply.content_type, len(reply.body), more, reply.body,
        )  # fmt: skip


class DirectProtocol(HttpToolsProtocol):
    """As its base; its application is a `Front`."""

    cycle: Any

    def on_headers_complete(self) -> None:
        front: Front = self.config.app  # type: ignore[assignment]
        route = self.url.decode("latin-1")
        handler = front.routes.get((self.parser.get_method().decode("ascii"), route))
        if handler is None or self.expect_100_continue or self.parser.should_upgrade():
            super().on_headers_complete()
            if front.closing:
                self.cycle.keep_alive = False
            return
        before = self.cycle
        keep_alive = not front.closing and self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        self.cycle = Exchange(
            self.transport, front, route, handler, self.headers,
            keep_alive=keep_alive, on_response=self.on_response_complete,
        )  # fmt: skip
        if before is not None and not before.response_complete:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
            self.cycle.started = True

    def on_body(self, body: bytes) -> None:
        if not isinstance(self.cycle, Exchange):
            super().on_body(body)
        elif not self.cycle.message_event.is_set():
            self.cycle.add(body)
            if self.cycle.too_large:
                self._answer()

    def on_message_complete(self) -> None:
        if isinstance(self.cycle, Exchange):
            self._answer()
        else:
            super().on_message_complete()

    def _answer(self) -> None:
        self.cycle.message_event.set()
        if not self.cycle.started:
            self.cycle.started = True
            self._start_asgi_task(self.cycle, self.app)
