import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from rapt.errors import PortInUse, ServiceFailed
from rapt.service import Service, find, log_file, pid_file, start, status, stop

LISTEN = """
import os, signal, socket, sys
print("listening", os.environ.get("HIDDEN"), flush=True)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
if len(sys.argv) > 2:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf", flush=True)
while True:
    listener.accept()[0].close()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    names = []

    def build(
        code: str = LISTEN, *arguments: str, name: str = "small", ready: Callable[[], bool] | None = None
    ) -> Service:
        port = free_port()
        names.append(name)
        return Service(
            name=name,
            command=(sys.executable, "-c", code, str(port), *arguments),
            environment={"SHOWN": "1"},
            ports=(port,),
            port_setting="small_port",
            address=f"127.0.0.1:{port}",
            data=tmp_path / "data",
            ready=ready or (lambda: answers(port)),
        )

    yield build
    for name in names:
        stop(name, tmp_path, grace_s=1)


def test_a_service_starts_once_in_a_session_of_its_own(
    make: Callable[..., Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIDDEN", "secret")
    service = make()
    assert start(service, tmp_path, 30)
    process = find("small", tmp_path)
    assert process is not None
    assert os.getsid(process.pid) == process.pid
    assert process.environ()["SHOWN"] == "1"
    assert log_file("small", tmp_path).read_text() == "listening None\n"
    assert not start(service, tmp_path, 30)
    again = find("small", tmp_path)
    assert again is not None
    assert again.pid == process.pid


def test_status_tells_what_the_service_takes(make: Callable[..., Service], tmp_path: Path) -> None:
    service = make()
    stopped = status(service, tmp_path)
    assert (stopped.running, stopped.pid, stopped.memory_bytes) == (False, None, 0)
    start(service, tmp_path, 30)
    (tmp_path / "data" / "file").write_bytes(b"x" * 100_000)
    running = status(service, tmp_path)
    assert running.running
    assert running.memory_bytes > 1_000_000
    assert 100_000 <= running.data_bytes <= 110_000
    assert 0 <= running.uptime_s < 60


def test_stop_ends_the_process_and_may_be_repeated(make: Callable[..., Service], tmp_path: Path) -> None:
    service = make()
    start(service, tmp_path, 30)
    process = find("small", tmp_path)
    assert process is not None
    assert stop("small", tmp_path, grace_s=5)
    assert not psutil.pid_exists(process.pid)
    assert not stop("small", tmp_path, grace_s=5)
    assert start(service, tmp_path, 30)


def test_a_service_deaf_to_sigterm_is_killed(make: Callable[..., Service], tmp_path: Path) -> None:
    service = make(LISTEN, "deaf", name="deaf", ready=lambda: "deaf" in log_file("deaf", tmp_path).read_text())
    start(service, tmp_path, 30)
    process = find("deaf", tmp_path)
    assert process is not None
    assert stop("deaf", tmp_path, grace_s=0.2)
    assert not psutil.pid_exists(process.pid)


def test_an_id_that_is_another_process_now_is_never_signalled(make: Callable[..., Service], tmp_path: Path) -> None:
    service = make()
    ours = psutil.Process()
    pid_file("small", tmp_path).write_text(json.dumps({"pid": ours.pid, "started_at_s": ours.create_time() - 10}))
    assert find("small", tmp_path) is None
    assert not stop("small", tmp_path, grace_s=1)
    assert start(service, tmp_path, 30)


@pytest.mark.parametrize("text", ["", "12", "{}", '{"pid": "x"}', '{"pid": 2147483646, "started_at_s": 1}'])
def test_a_stale_or_damaged_pid_file_does_not_hinder_the_start(
    text: str, make: Callable[..., Service], tmp_path: Path
) -> None:
    pid_file("small", tmp_path).write_text(text)
    assert start(make(), tmp_path, 30)


def test_a_killed_service_is_seen_as_stopped_and_starts_again(make: Callable[..., Service], tmp_path: Path) -> None:
    service = make()
    start(service, tmp_path, 30)
    process = find("small", tmp_path)
    assert process is not None
    process.kill()
    process.wait()
    assert find("small", tmp_path) is None
    assert start(service, tmp_path, 30)
    assert log_file("small", tmp_path).with_suffix(".log.1").exists()


def test_a_used_port_is_refused_by_its_holder(make: Callable[..., Service], tmp_path: Path) -> None:
    service = make()
    refused = pytest.raises(PortInUse, match=rf"port {service.ports[0]}.*pid {os.getpid()}.*small_port")
    with socket.create_server(("127.0.0.1", service.ports[0])), refused:
        start(service, tmp_path, 30)
    assert not pid_file("small", tmp_path).exists()


def test_a_service_that_ends_while_starting_tells_its_last_words(make: Callable[..., Service], tmp_path: Path) -> None:
    service = make("print('starting', flush=True); raise SystemExit('the disk is made of cheese')")
    with pytest.raises(ServiceFailed, match=r"small ended while starting: the disk is made of cheese .*small\.log"):
        start(service, tmp_path, 30)
    assert find("small", tmp_path) is None


def test_a_service_that_is_never_ready_is_ended_at_the_deadline(make: Callable[..., Service], tmp_path: Path) -> None:
    seen: list[int] = []

    def never() -> bool:
        process = find("small", tmp_path)
        seen.extend([process.pid] if process else [])
        return False

    service = make(ready=never)
    with pytest.raises(ServiceFailed, match=r"does not answer at 127.*after 0\.3 s"):
        start(service, tmp_path, 0.3)
    assert seen
    assert not psutil.pid_exists(seen[0])
