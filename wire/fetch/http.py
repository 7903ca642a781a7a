"""A small HTTP client for downloads: guarded connections, checked redirects, one deadline for all of it."""

from __future__ import annotations

import base64
import http.client
import io
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urljoin

from wire.errors import FetchTimeout, ForbiddenUrl, Unreachable
from wire.fetch.guard import Guard, check_url, redacted

MAX_REDIRECTS = 8
REDIRECTS = (301, 302, 303, 307, 308)
USER_AGENT = "Mozilla/5.0 (compatible; rapt video downloader)"


@dataclass(frozen=True)
class Deadline:
    """A moment that ends a download, and the silence (`idle_s`) that ends one read."""

    ends_at: float
    idle_s: float

    @staticmethod
    def after(seconds: float, idle_s: float) -> Deadline:
        """A deadline that many seconds from now."""
        return Deadline(time.monotonic() + seconds, idle_s)

    def remaining_s(self) -> float:
        """Seconds left; raises `FetchTimeout` when there are none."""
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise FetchTimeout("the time for one download is over; raise timeout_s or leave this item out")
        return left

    def next_read_s(self) -> float:
        """How long the next connect or read may take."""
        return min(self.idle_s, self.remaining_s())


@dataclass(frozen=True)
class Reply:
    """A response whose body is read in pieces; `url` is the one after redirects."""

    url: str
    status: int
    headers: http.client.HTTPMessage
    _body: http.client.HTTPResponse

    def pieces(self, size: int) -> Iterator[bytes]:
        """The body as it arrives, at most `size` bytes a piece; raises `Unreachable` when it breaks off."""
        received = 0
        expected = None if self._body.chunked else self._body.length
        while True:
            with named_errors(self.url):
                piece = self._body.read1(size)
            if not piece:
                break
            received += len(piece)
            yield piece
        if expected is not None and received < expected:
            raise Unreachable(f"{redacted(self.url)} broke off after {received} of {expected} bytes")


@contextmanager
def opened(url: str, headers: Mapping[str, str], guard: Guard, deadline: Deadline) -> Iterator[Reply]:
    """GET `url`, following checked redirects; the connection closes on leaving.

    Raises `ForbiddenUrl` (scheme, address, redirects), `Unreachable` and `FetchTimeout`.
    A user and password in the URL are sent to its own origin only.
    """
    credentials, origin = "", None
    for _ in range(MAX_REDIRECTS + 1):
        parts = check_url(url)
        if parts.username is not None:
            credentials, origin = _basic(parts), _origin(parts)
        own = {"Authorization": credentials} if credentials and origin == _origin(parts) else {}
        connection = _connection(parts, guard, deadline)
        try:
            with named_errors(url):
                connection.request("GET", _target(parts), headers=_base_headers() | dict(headers) | own)
                body = connection.getresponse()
            with body:
                target = body.headers.get("Location")
                if body.status not in REDIRECTS or not target:
                    yield Reply(url, body.status, body.headers, body)
                    return
                url = urljoin(url, target.strip())
        finally:
            connection.close()
    raise ForbiddenUrl(f"{redacted(url)}: more than {MAX_REDIRECTS} redirects")


@contextmanager
def named_errors(url: str) -> Iterator[None]:
    """Give what sockets, TLS and HTTP parsing raise the name `Unreachable`, with no secret in the message."""
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        what = str(error) or type(error).__name__
        raise Unreachable(f"{redacted(url)}: {what}") from None


def _base_headers() -> dict[str, str]:
    return {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}


def _target(parts: SplitResult) -> str:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return "".join(c if " " < c < "\x7f" else "".join(f"%{b:02X}" for b in c.encode()) for c in target)


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port


def _basic(parts: SplitResult) -> str:
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _connection(parts: SplitResult, guard: Guard, deadline: Deadline) -> http.client.HTTPConnection:
    """A connection made through the guard, whose every read obeys the deadline."""
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    host = parts.hostname or ""
    plain = guard.connect(host, port, deadline.next_read_s())
    connection = http.client.HTTPConnection(host, port)
    if not secure:
        connection.sock = _TimedSocket(plain, deadline)
        return connection
    connection.default_port = 443
    try:
        with named_errors(parts.geturl()):
            wrapped = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    except Unreachable:
        plain.close()
        raise
    connection.sock = _TimedSocket(wrapped, deadline)
    return connection


class _TimedSocket:
    """The four methods of a socket that `http.client` uses; reads stop at the deadline."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection, self._deadline = connection, deadline

    def sendall(self, data: Any) -> None:
        self._connection.settimeout(self._deadline.next_read_s())
        self._connection.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._connection, self._deadline))

    def close(self) -> None:
        self._connection.close()


class _TimedReader(io.RawIOBase):
    """Reads of a socket, each no longer than the deadline allows."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection, self._deadline = connection, deadline
        self._raw = connection.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._connection.settimeout(self._deadline.next_read_s())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
