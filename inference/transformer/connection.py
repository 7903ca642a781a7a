"""One kept-alive HTTP/1.1 connection to a server of ours: bytes out, bytes in, one call at a time.

Between the tiers every wake-up counts: this is one socket on the event loop, where gRPC puts a thread of its own on
either side, and a client made for the whole web takes longer than the model.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

import httptools


@dataclass
class Answer:
    """A response; header names in lower case."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""


class Connection(asyncio.Protocol):
    """Made by `connect`; `closed` once the other side ended it."""

    def __init__(self) -> None:
        self.closed = False
        self._answered: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, AttributeError) as error:
            self._fail(ConnectionError(f"it answers what is no HTTP ({error})"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionError(str(exc) if exc else "it ended the connection"))

    async def call(self, request: bytes) -> Answer:
        """The answer to a whole request; raises ConnectionError. To be cancelled only together with `close`."""
        self._answer, self._parts = Answer(), list[bytes]()
        self._parser = httptools.HttpResponseParser(self)
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._answered
        finally:
            self._answered = None

    def close(self) -> None:
        """End it; nobody waits any more."""
        self.closed = True
        self._transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """For the parser."""
        self._answer.headers[name.lower()] = value

    def on_body(self, part: bytes) -> None:
        """For the parser."""
        self._parts.append(part)

    def on_message_complete(self) -> None:
        """For the parser."""
        self._answer.status, self._answer.body = self._parser.get_status_code(), b"".join(self._parts)
        if not self._parser.should_keep_alive():
            self.closed = True
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(self._answer)

    def _fail(self, error: ConnectionError) -> None:
        self.closed = True
        self._transport.abort()
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)


async def connect(host: str, port: int) -> Connection:
    """A new connection; raises OSError."""
    _, made = await asyncio.get_running_loop().create_connection(Connection, host, port)
    return made
