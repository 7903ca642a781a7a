"""Several workers on one port: all answer, metrics are theirs together, one that is killed comes back."""

import contextlib
import os
import re
import signal
import subprocess
import sys

import httpx
import psutil
import pytest

from rapt import serving
from tests.inference.endpoint import Endpoint
from tests.ports import free_ports
from tests.waiting import until

pytestmark = pytest.mark.slow

BODY = b'{"instances": [{"user_id": "w", "video_ids": ["sim-00001"]}]}'


@pytest.fixture
def two_workers(endpoint: Endpoint):
    """A second transformer beside the session's, with two workers."""
    one = endpoint.services["transformer"]
    port = free_ports()
    arguments = list(one.command)
    for flag, value in (("--http_port", port), ("--grpc_port", port + 1), ("--workers", 2)):
        arguments[arguments.index(flag) + 1] = str(value)
    environment = {**os.environ, **one.environment}
    process = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: serving.answers(f"{url}/v2/health/ready"), "a worker")
        until(lambda: len(workers(process.pid)) == 2 and len(answering(url)) == 2, "both workers")
        yield process, url
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def workers(parent: int) -> list[int]:
    return [child.pid for child in psutil.Process(parent).children()]


def answering(url: str) -> set[int]:
    """Local ports of ours whose connections each went to some worker, by the worker's pid."""
    found: set[int] = set()
    for _ in range(40):
        with httpx.Client() as client, contextlib.suppress(httpx.TransportError):
            answer = client.post(f"{url}/v1/models/interest:predict", content=BODY, timeout=30)
            stream = answer.extensions["network_stream"]
            mine = stream.get_extra_info("client_addr")[1]
            found |= {
                connection.pid
                for connection in psutil.net_connections("tcp")
                if connection.raddr and connection.raddr.port == mine and connection.pid
            } - {os.getpid()}
        if len(found) == 2:
            break
    return found


def counted(url: str) -> float:
    text = httpx.get(f"{url}/metrics").text
    (value,) = re.findall(r"^rapt_predictions_total\{.*\} (.*)$", text, re.MULTILINE)
    return float(value)


def test_workers_share_a_port_and_their_metrics_and_one_that_is_killed_comes_back(two_workers) -> None:
    process, url = two_workers
    before = counted(url)
    for _ in range(30):
        assert httpx.post(f"{url}/v1/models/interest:predict", content=BODY, timeout=30).status_code == 200
    # The other one counts what it noted twice a second.
    until(lambda: counted(url) >= before + 30, "whichever worker is asked answers for both")
    killed = workers(process.pid)[0]
    os.kill(killed, signal.SIGKILL)
    answers = []
    for _ in range(20):
        with contextlib.suppress(httpx.TransportError):
            answers.append(httpx.post(f"{url}/v1/models/interest:predict", content=BODY, timeout=30).status_code)
    assert answers, "the other worker went on"
    assert set(answers) == {200}
    until(lambda: killed not in workers(process.pid) and len(workers(process.pid)) == 2, "another worker")
    until(lambda: len(answering(url)) == 2, "both answering again")
    until(lambda: counted(url) >= before + 30 + len(answers), "what the killed one counted stays")


def test_workers_end_when_the_one_that_started_them_is_killed(two_workers) -> None:
    process, _ = two_workers
    children = [psutil.Process(pid) for pid in workers(process.pid)]
    process.kill()
    process.wait()
    until(
        lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children),
        "their end",
    )


def test_an_own_port_is_never_shared_with_a_stranger(endpoint: Endpoint) -> None:
    one = endpoint.services["transformer"]
    done = subprocess.run(
        one.command, env={**os.environ, **one.environment}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode != 0
    assert f"cannot listen on 127.0.0.1:{one.ports[0]}" in done.stderr
    assert sys.executable in one.command
