"""The load generator: requests made before, persistent connections, one `select` loop, nothing else in its process.

    python -m benchmarks.load 127.0.0.1:8080 requests.msgpack --rate 100 --seconds 10 [--pid PID]...
    python -m benchmarks.load 127.0.0.1:8080 requests.msgpack --connections 8 --seconds 10 [--pid PID]...

With `--rate` it is an open loop: request n is due at n / rate, whatever became of those before, and its latency
counts from then, so a server that stalls pays for all that it kept waiting. With `--connections` it is a closed
loop: as many requests are always under way, which saturates the server. `--pid` reads the CPU time of that
process and of all below it over the same span. `select` wakes to the microsecond, where epoll (and so asyncio and
uvloop) rounds up to the next millisecond; a request costs this process about 20 µs.
"""

from __future__ import annotations

import argparse
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path

import httptools
import msgspec
import numpy as np
import psutil

PATIENCE_S = 60.0
"""How long answers that are due are waited for before they count as errors."""
OPEN_CONNECTIONS = 32
"""Connections of an open loop: more requests than these wait here, on the server's account."""


class Load(msgspec.Struct, frozen=True):
    """What a run saw; latencies are those of the requests answered with 200. `cpu_s` is by order of `--pid`."""

    requests: int
    errors: int
    seconds: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    cpu_s: list[float]

    @property
    def per_s(self) -> float:
        """Good answers a second."""
        return self.requests / self.seconds

    @property
    def per_cpu_s(self) -> float:
        """Good answers for each second of the servers' CPU."""
        return self.requests / sum(self.cpu_s)


class Connection:
    """One persistent connection with at most one request under way."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.due_s = 0.0
        self.connect()

    def connect(self) -> None:
        """Begin anew."""
        self.socket = socket.create_connection(self.address, timeout=PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.parser, self.complete, self.kept = httptools.HttpResponseParser(self), False, True

    def close(self) -> None:
        """The last call."""
        self.socket.close()

    def send(self, request: bytes, due_s: float) -> None:
        """Send it; `due_s` is when its latency begins."""
        self.due_s, self.complete = due_s, False
        self.socket.sendall(request)

    def receive(self) -> int | None:
        """Read what has come: the status when the answer is whole, 0 when it never will be, else None."""
        try:
            data = self.socket.recv(1 << 18)
            if data:
                self.parser.feed_data(data)
        except (OSError, httptools.HttpParserError):
            data = b""
        if not data:
            self.socket.close()
            self.connect()
            return 0
        if not self.complete:
            return None
        status: int = self.parser.get_status_code()
        if not self.kept:
            self.socket.close()
            self.connect()
        self.parser = httptools.HttpResponseParser(self)
        return status

    def on_message_complete(self) -> None:
        """The parser's call: only now does it know whether the connection stays."""
        self.complete, self.kept = True, self.parser.should_keep_alive()


class Tally:
    """Latencies and errors so far."""

    def __init__(self) -> None:
        self.latencies_s: list[float] = []
        self.errors = 0

    def add(self, status: int, due_s: float) -> None:
        """Count one answer."""
        if status == 200:
            self.latencies_s.append(time.perf_counter() - due_s)
        else:
            self.errors += 1


def open_loop(address: tuple[str, int], requests: Sequence[bytes], rate: float, seconds: float) -> Tally:
    """Request n at n / rate, for `seconds`; then the answers that are still due are waited for."""
    with _connections(address, OPEN_CONNECTIONS) as connections:
        return _open_loop(connections, requests, rate, seconds)


def _open_loop(connections: Sequence[Connection], requests: Sequence[bytes], rate: float, seconds: float) -> Tally:
    tally, following = Tally(), cycle(requests)
    idle, waiting = deque(connections), deque[float]()
    busy: dict[socket.socket, Connection] = {}
    begun_s = time.perf_counter()
    dues = (begun_s + n / rate for n in range(round(seconds * rate)))
    due_s = next(dues, None)
    while due_s is not None or waiting or busy:
        now_s = time.perf_counter()
        while due_s is not None and due_s <= now_s:
            waiting.append(due_s)
            due_s = next(dues, None)
        while waiting and idle:
            connection = idle.popleft()
            connection.send(next(following), waiting.popleft())
            busy[connection.socket] = connection
        left_s = PATIENCE_S if due_s is None else max(0.0, due_s - time.perf_counter())
        for readable in _readable(list(busy), left_s):
            connection = busy[readable]
            status = connection.receive()
            if status is not None:
                tally.add(status, connection.due_s)
                del busy[readable]
                idle.append(connection)
        if due_s is None and time.perf_counter() - begun_s > seconds + PATIENCE_S:
            tally.errors += len(busy) + len(waiting)
            break
    return tally


def closed_loop(address: tuple[str, int], requests: Sequence[bytes], connections: int, seconds: float) -> Tally:
    """`connections` requests under way for `seconds`; those then under way are waited for and count too."""
    with _connections(address, connections) as opened:
        return _closed_loop(opened, requests, seconds)


def _closed_loop(connections: Sequence[Connection], requests: Sequence[bytes], seconds: float) -> Tally:
    tally, following = Tally(), cycle(requests)
    busy: dict[socket.socket, Connection] = {}
    begun_s = time.perf_counter()

    def send(connection: Connection) -> None:
        connection.send(next(following), time.perf_counter())
        busy[connection.socket] = connection

    for connection in connections:
        send(connection)
    while busy and (past_s := time.perf_counter() - begun_s) < seconds + PATIENCE_S:
        for readable in _readable(list(busy), seconds + PATIENCE_S - past_s):
            connection = busy[readable]
            status = connection.receive()
            if status is not None:
                tally.add(status, connection.due_s)
                del busy[readable]
                if time.perf_counter() - begun_s < seconds:
                    send(connection)
    tally.errors += len(busy)
    return tally


@contextmanager
def _connections(address: tuple[str, int], count: int) -> Iterator[list[Connection]]:
    with ExitStack() as closing:
        connections = [Connection(address) for _ in range(count)]
        for connection in connections:
            closing.callback(connection.close)
        yield connections


def _readable(sockets: list[socket.socket], timeout_s: float) -> list[socket.socket]:
    readable: list[socket.socket] = select.select(sockets, [], [], timeout_s)[0]
    return readable


def cpu_s(pid: int) -> float:
    """CPU seconds, user and system, of a process, of all below it, and of those below it that have ended."""
    total = 0.0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def measure(
    address: str, requests: Path, seconds: float, *, rate: float | None = None, connections: int | None = None,
    pids: Sequence[int] = (),
) -> Load:  # fmt: skip
    """Run the generator in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.load", address, str(requests), f"--seconds={seconds}"]
    command += [f"--rate={rate}"] if rate else [f"--connections={connections}"]
    command += [f"--pid={pid}" for pid in pids]
    done = subprocess.run(command, check=True, capture_output=True, timeout=seconds + 2 * PATIENCE_S)
    return msgspec.json.decode(done.stdout, type=Load)


def http_request(address: str, path: str, body: bytes) -> bytes:
    """A JSON POST as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="host:port")
    parser.add_argument("requests", type=Path, help="a msgpack list of whole HTTP requests")
    parser.add_argument("--seconds", type=float, default=10.0)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--rate", type=float, help="requests a second, open loop")
    kind.add_argument("--connections", type=int, help="requests under way, closed loop")
    parser.add_argument("--pid", type=int, action="append", default=[], help="whose CPU time to read; repeatable")
    given = parser.parse_args()
    host, port = given.address.rsplit(":", 1)
    requests = msgspec.msgpack.decode(given.requests.read_bytes(), type=list[bytes])
    before, begun_s = [cpu_s(pid) for pid in given.pid], time.perf_counter()
    if given.rate:
        tally = open_loop((host, int(port)), requests, given.rate, given.seconds)
    else:
        tally = closed_loop((host, int(port)), requests, given.connections, given.seconds)
    seconds = time.perf_counter() - begun_s
    spent = [cpu_s(pid) - was for pid, was in zip(given.pid, before, strict=True)]
    found_ms = np.array(tally.latencies_s or [np.inf]) * 1e3
    p50, p90, p99 = np.percentile(found_ms, [50, 90, 99]).tolist()
    load = Load(len(tally.latencies_s), tally.errors, seconds, p50, p90, p99, float(found_ms.max()), spent)
    sys.stdout.buffer.write(msgspec.json.encode(load))


if __name__ == "__main__":
    main()
