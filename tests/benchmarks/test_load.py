"""The load generator sends on schedule whatever the server does, and counts what it saw."""

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec

from benchmarks.load import closed_loop, cpu_s, http_request, measure, open_loop

STALL_S = 0.3


class Counting(ThreadingHTTPServer):
    """Keeps the bodies that came and when; the one named `stall` waits, one named `fail` is answered with 503."""

    daemon_threads, request_queue_size = True, 64

    def __init__(self) -> None:
        self.bodies: list[tuple[float, bytes]] = []
        self.connections = 0
        super().__init__(("127.0.0.1", 0), Answer)


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Counting

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append((time.perf_counter(), body))
        if body == b"stall":
            threading.Event().wait(STALL_S)
        self.send_response(503 if body == b"fail" else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@contextmanager
def server() -> Iterator[tuple[Counting, tuple[str, int]]]:
    with Counting() as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield http, ("127.0.0.1", http.server_port)
        http.shutdown()
        thread.join()


def post(body: bytes) -> bytes:
    return http_request("127.0.0.1", "/", body)


def test_an_open_loop_sends_the_planned_number_at_the_planned_pace() -> None:
    with server() as (http, address):
        begun_s = time.perf_counter()
        tally = open_loop(address, [post(b"a"), post(b"b")], rate=100, seconds=0.5)
    # Requests in turn go over connections of their own, so the next one may arrive first; none is sent before its time.
    assert Counter(body for _, body in http.bodies) == {b"a": 25, b"b": 25}
    assert len(tally.latencies_s) == 50 and not tally.errors
    assert max(http.bodies)[0] - begun_s >= 49 / 100


def test_connections_are_kept() -> None:
    with server() as (http, address):
        closed_loop(address, [post(b"a")], connections=3, seconds=0.3)
    assert http.connections == 3


def test_a_stall_is_charged_to_every_request_that_was_due_during_it() -> None:
    with server() as (_, address):
        tally = open_loop(address, [post(b"stall")], rate=200, seconds=0.5)
    assert len(tally.latencies_s) == 100
    # 32 connections: the 33rd request, due at 0.16 s, waits for the first answer at 0.3 s, then its own 0.3 s
    assert min(tally.latencies_s) >= STALL_S
    assert sorted(tally.latencies_s)[-60] > STALL_S + 0.1


def test_a_closed_loop_keeps_its_connections_busy_and_waits_for_the_last_answers() -> None:
    with server() as (http, address):
        begun_s = time.perf_counter()
        tally = closed_loop(address, [post(b"stall")], connections=3, seconds=STALL_S / 2)
        took_s = time.perf_counter() - begun_s
    assert len(http.bodies) == len(tally.latencies_s) == 3 and not tally.errors
    assert took_s >= STALL_S
    with server() as (http, address):
        tally = closed_loop(address, [post(b"stall")], connections=3, seconds=STALL_S * 3.5)
    # Four rounds, or fewer where the machine held some up; at least the one that follows the first.
    assert 6 <= len(http.bodies) == len(tally.latencies_s) <= 12


def test_other_statuses_and_closed_connections_are_errors() -> None:
    with server() as (_, address):
        tally = open_loop(address, [post(b"a"), post(b"fail")], rate=100, seconds=0.2)
    assert (len(tally.latencies_s), tally.errors) == (10, 10)


def test_the_generator_in_its_own_process_reports_all_of_it(tmp_path: Path) -> None:
    requests = tmp_path / "requests.msgpack"
    requests.write_bytes(msgspec.msgpack.encode([post(b"a")]))
    with server() as (http, address):
        found = measure(f"127.0.0.1:{address[1]}", requests, 0.5, rate=100, pids=[os.getpid()])
    assert found.requests == len(http.bodies) == 50 and found.errors == 0
    assert 0 < found.p50_ms <= found.p90_ms <= found.p99_ms <= found.max_ms
    assert len(found.cpu_s) == 1 and found.cpu_s[0] >= 0


def test_cpu_time_counts_the_children() -> None:
    before = cpu_s(os.getpid())
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.5: pass"], check=True)
    assert cpu_s(os.getpid()) - before >= 0.5
