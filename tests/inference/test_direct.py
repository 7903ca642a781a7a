"""The short way to the front's routes: on real sockets, whatever way requests come in."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
import uvicorn

from inference.server.direct import DirectProtocol
from inference.server.front import Front, Receive, Reply, Request, Scope, Send

MOST = 200_000
OK = b"HTTP/1.1 200 OK\r\n"


class Served:
    """What a server answers and saw."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.direct: list[bytes] = []
        self.held = threading.Event()
        self.release = threading.Event()

    def connect(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made


@contextmanager
def serving() -> Iterator[tuple[Served, uvicorn.Server, threading.Thread]]:
    listening = socket.create_server(("127.0.0.1", 0))
    served = Served(listening.getsockname()[1])

    async def echo(request: Request) -> Reply:
        served.direct.append(request.body)
        return Reply(request.body, headers=((b"x-sent", request.headers.get(b"x-sent", b"")),))

    async def hold(request: Request) -> Reply:
        served.held.set()
        await asyncio.to_thread(served.release.wait, 10)
        return Reply(b"held")

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
        await send({"type": "http.response.body", "body": b"behind"})

    routes = {("POST", "/a:echo"): echo, ("POST", "/hold"): hold}
    config = uvicorn.Config(Front(behind, routes, MOST), http=DirectProtocol, lifespan="off", ws="none",
                            log_config=None, server_header=False, date_header=False)  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield served, server, thread
    finally:
        served.release.set()
        server.should_exit = True
        thread.join(20)
        listening.close()
    assert not thread.is_alive()


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as (found, _, _):
        yield found


def post(body: bytes, path: bytes = b"/a:echo", *headers: bytes) -> bytes:
    lines = [b"POST %s HTTP/1.1" % path, b"host: x", b"content-length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"", body])


def answers(connection: socket.socket, count: int) -> list[tuple[bytes, bytes]]:
    """Heads and bodies of the next answers."""
    found, buffer = [], b""
    while len(found) < count:
        head, mark, rest = buffer.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:"), 0)
        if mark and len(rest) >= length:
            if not head.startswith(b"HTTP/1.1 100"):
                found.append((head + b"\r\n", rest[:length]))
            buffer = rest[length:]
            continue
        received = connection.recv(65536)
        assert received, f"ended after {len(found)} answers and {buffer[:200]!r}"
        buffer += received
    assert not buffer
    return found


def test_a_connection_is_kept_and_each_answer_comes_in_one_packet(served: Served) -> None:
    with closing(served.connect()) as connection:
        for number in range(3):
            connection.sendall(post(b"%d" % number, b"/a:echo", b"x-sent: yes"))
            received = connection.recv(65536)
            assert received.startswith(OK)
            assert b"x-sent: yes\r\n" in received
            assert received.endswith(b"\r\n\r\n%d" % number)


def test_a_body_may_come_in_pieces_and_in_chunks(served: Served) -> None:
    whole = post(b"in pieces")
    chunked = (
        b"POST /a:echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nin \r\n6\r\nchunks\r\n0\r\n\r\n"
    )
    with closing(served.connect()) as connection:
        for sent, expected in ((whole, b"in pieces"), (chunked, b"in chunks")):
            for place in range(0, len(sent), 7):
                connection.sendall(sent[place : place + 7])
            assert answers(connection, 1)[0][1] == expected
    assert served.direct == [b"in pieces", b"in chunks"]


@pytest.mark.parametrize(
    "sent",
    [
        [post(b"1"), post(b"2"), post(b"3")],
        [post(b"1"), post(b"", b"/other"), post(b"3")],
        [post(b"", b"/other"), post(b"2"), post(b"", b"/other")],
        [post(b"1" * 90_000), post(b"2" * 150_000), post(b"", b"/other")],
    ],
)
def test_requests_one_behind_the_other_are_answered_in_order(served: Served, sent: list[bytes]) -> None:
    expected = [one.partition(b"\r\n\r\n")[2] or b"behind" for one in sent]
    with closing(served.connect()) as connection:
        sender = threading.Thread(target=connection.sendall, args=(b"".join(sent),))
        sender.start()
        assert [body for _, body in answers(connection, len(sent))] == expected
        sender.join()


def test_what_waits_behind_another_is_not_answered_before_it(served: Served) -> None:
    with closing(served.connect()) as connection:
        connection.sendall(post(b"", b"/hold"))
        assert served.held.wait(10)
        connection.sendall(post(b"behind the held one"))
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        served.release.set()
        connection.settimeout(10)
        assert [body for _, body in answers(connection, 2)] == [b"held", b"behind the held one"]


def test_too_large_a_body_is_refused_before_it_has_come_and_the_connection_goes_on(served: Served) -> None:
    with closing(served.connect()) as connection:
        large = post(b"x" * (2 * MOST))
        connection.sendall(large[: MOST + 50_000])
        ((head, body),) = answers(connection, 1)
        assert head.startswith(b"HTTP/1.1 413")
        assert b"over 200000 bytes" in body
        connection.sendall(large[MOST + 50_000 :] + post(b"after"))
        assert answers(connection, 1)[0][1] == b"after"
    assert served.direct == [b"after"]


@pytest.mark.parametrize("line", [b"POST /a:echo HTTP/1.0", b"POST /a:echo HTTP/1.1\r\nconnection: close"])
def test_a_connection_ends_when_the_caller_wants_it(served: Served, line: bytes) -> None:
    with closing(served.connect()) as connection:
        connection.sendall(line + b"\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi")
        received = b""
        while part := connection.recv(65536):
            received += part
    assert received.startswith(OK)
    assert b"connection: close" in received
    assert received.endswith(b"hi")


@pytest.mark.parametrize(
    ("sent", "status", "body"),
    [
        (post(b"hi", b"/a%3Aecho"), b"200", b"hi"),
        (post(b"hi", b"/a:echo?query=1"), b"200", b"hi"),
        (post(b"hi", b"/a:echo", b"expect: 100-continue"), b"200", b"hi"),
        (post(b"hi", b"/a:echo", b"connection: upgrade", b"upgrade: h2c"), b"200", b""),  # without a body
        (b"GET /a:echo HTTP/1.1\r\nhost: x\r\n\r\n", b"405", b"takes POST, not GET"),
    ],
)
def test_what_is_no_route_as_it_stands_goes_the_long_way(
    served: Served, sent: bytes, status: bytes, body: bytes
) -> None:
    with closing(served.connect()) as connection:
        connection.sendall(sent)
        ((head, answered),) = answers(connection, 1)
    assert head.split()[1] == status
    assert body in answered


def test_what_is_no_http_is_refused(served: Served) -> None:
    with closing(served.connect()) as connection:
        connection.sendall(b"NONSENSE\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 400")


def test_callers_that_leave_do_no_harm(served: Served) -> None:
    for sent in (post(b"x" * 100)[:-50], post(b"", b"/hold"), post(b"1") + post(b"x" * 100)[:-50]):
        with closing(served.connect()) as connection:
            connection.sendall(sent)
    served.release.set()
    with closing(served.connect()) as connection:
        connection.sendall(post(b"still here"))
        assert answers(connection, 1)[0][1] == b"still here"
    assert b"x" * 50 not in served.direct


def test_a_server_that_ends_answers_what_is_under_way() -> None:
    with serving() as (served, server, thread), closing(served.connect()) as connection:
        connection.sendall(post(b"", b"/hold"))
        assert served.held.wait(10)
        server.should_exit = True
        served.release.set()
        assert answers(connection, 1)[0][1] == b"held"
        assert connection.recv(1) == b""
        thread.join(10)
        assert not thread.is_alive()
