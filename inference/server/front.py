"""Routes that are answered before KServe's application: bytes in, bytes out, no framework in between."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec

from inference.errors import InferenceError, RequestTooLarge
from inference.server.later import Spread

LOG = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = b"application/json"
BUCKETS = (
    0.0005,
    0.001,
    0.0015,
    0.002,
    0.003,
    0.004,
    0.005,
    0.0075,
    0.01,
    0.015,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
)
SECONDS = Spread("rapt_request_seconds", "From a request's last byte to its answer", ("route", "code"),
                 buckets=BUCKETS)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """A request's headers, names in lower case, and its whole body."""

    headers: Mapping[bytes, bytes]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """An answer; its body is JSON unless `content_type` says otherwise."""

    body: bytes
    status: int = HTTPStatus.OK
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())


Handler = Callable[[Request], Awaitable[Reply]]


class Front:
    """An ASGI application: its own routes by (method, path), all others by the application behind it.

    While it is `closing`, each answer is the last on its connection.
    """

    def __init__(self, behind: Application, routes: Mapping[tuple[str, str], Handler], max_body_bytes: int) -> None:
        self.behind = behind
        self.routes = routes
        self.max_body_bytes = max_body_bytes
        self.closing = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply = await self._own(scope, receive) if scope["type"] == "http" else None
        if reply is None:
            await self.behind(scope, receive, send)
            return
        await send({
            "type": "http.response.start",
            "status": reply.status,
            "headers": [(b"content-type", reply.content_type), (b"content-length", b"%d" % len(reply.body)),
                        *reply.headers],
        })  # fmt: skip
        await send({"type": "http.response.body", "body": reply.body})

    async def _own(self, scope: Scope, receive: Receive) -> Reply | None:
        """The answer to a request for one of our paths; None for any other's."""
        handler = self.routes.get((scope["method"], scope["path"]))
        if handler is not None:
            try:
                body = await self._body(receive)
            except RequestTooLarge as error:
                return refused(error)
            return await self.reply(scope["path"], handler, Request(dict(scope["headers"]), body))
        allowed = [method for method, path in self.routes if path == scope["path"]]
        if not allowed:
            return None
        message = f"{scope['path']} takes {' and '.join(allowed)}, not {scope['method']}"
        return Reply(
            error_body(message), HTTPStatus.METHOD_NOT_ALLOWED, headers=((b"allow", ", ".join(allowed).encode()),)
        )

    async def reply(self, route: str, handler: Handler, request: Request) -> Reply:
        """The handler's answer, measured."""
        began = time.perf_counter()
        reply = await answer(handler, request)
        _seconds(route, reply.status).note(time.perf_counter() - began)
        return reply

    async def _body(self, receive: Receive) -> bytes:
        message = await receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            self._check(len(body))
            return body
        parts, size = [body], len(body)
        while message.get("more_body"):
            self._check(size)
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
        self._check(size)
        return b"".join(parts)

    def _check(self, size: int) -> None:
        if size > self.max_body_bytes:
            raise too_large(self.max_body_bytes)


@cache
def _seconds(route: str, status: int) -> Spread:
    return SECONDS.labels(route.rpartition("/")[2], status)


def too_large(most: int) -> RequestTooLarge:
    """What is said of a body of over `most` bytes."""
    return RequestTooLarge(f"the body has over {most} bytes: ask for fewer videos at a time")


async def answer(handler: Handler, request: Request) -> Reply:
    """What the handler answers, or its named failure as a reply; anything else is logged and told as 500."""
    try:
        return await handler(request)
    except InferenceError as error:
        return refused(error)
    except Exception:
        LOG.exception("a request failed")
        return Reply(error_body("internal error; the server's log has it"), HTTPStatus.INTERNAL_SERVER_ERROR)


def refused(error: InferenceError) -> Reply:
    """A named failure as a reply: its status, its message, and when to try again where that is known."""
    after = error.retry_after_s
    headers = ((b"retry-after", b"%d" % max(1, round(after))),) if after is not None else ()
    return Reply(error_body(str(error)), error.status, headers=headers)


def error_body(message: str) -> bytes:
    """KServe's form of an error."""
    return msgspec.json.encode({"error": message})
