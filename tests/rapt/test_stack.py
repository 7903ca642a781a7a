"""The laptop's stack through the real command, with a real SeaweedFS."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import urllib3

from rapt import stack
from rapt.settings import Settings, load
from tests.ports import free_ports
from wire.objects import ObjectStore

RAPT = str(Path(sys.executable).with_name("rapt"))


@pytest.fixture
def variables(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a user with an empty home and free ports; what they started is ended."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("RAPT_", "AWS_"))}
    mine = {**plain, "RAPT_HOME": str(tmp_path / "home"), "RAPT_OBJECT_STORE_PORT": str(free_ports())}
    yield mine
    stack.down(load(mine, tmp_path))


@pytest.fixture
def settings(variables: dict[str, str], tmp_path: Path) -> Settings:
    return load(variables, tmp_path)


def rapt(variables: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([RAPT, *arguments], env=variables, capture_output=True, text=True, timeout=120)


def test_up_status_down_as_a_user_sees_them(variables: dict[str, str], settings: Settings) -> None:
    assert rapt(variables, "status").returncode == 3
    first = rapt(variables, "up")
    assert first.returncode == 0, first.stderr
    assert first.stdout.split() == ["object-store", settings.embedded_endpoint, "started"]
    assert "already running" in rapt(variables, "up").stdout

    running = rapt(variables, "status", "--json")
    assert running.returncode == 0
    (one,) = json.loads(running.stdout)["services"]
    process = psutil.Process(one["pid"])
    assert one["running"]
    assert one["address"] == settings.embedded_endpoint
    assert 0 < one["memory_bytes"] < 400_000_000
    secret = settings.environment()["AWS_SECRET_ACCESS_KEY"]
    assert secret not in " ".join(process.cmdline())
    assert secret not in first.stdout + first.stderr + Path(one["log"]).read_text()
    assert settings.home.stat().st_mode & 0o777 == 0o700

    assert rapt(variables, "down").stdout.split() == ["object-store", "ended"]
    assert not process.is_running()
    assert rapt(variables, "status").returncode == 3
    assert rapt(variables, "down", "--json").stdout.split() == ["{", '"ended":', "[]", "}"]


def test_the_store_listens_on_loopback_only(variables: dict[str, str], settings: Settings) -> None:
    stack.up(settings)
    (one,) = stack.status(settings)
    needed = set(stack.services(settings)[0].ports)
    listening: set[tuple[str, int]] = set()
    give_up_at = time.monotonic() + 30
    while {port for _, port in listening} < needed and time.monotonic() < give_up_at:
        listening = {
            tuple(connection.laddr)
            for connection in psutil.net_connections("inet")
            if connection.pid == one.pid and connection.status == psutil.CONN_LISTEN
        }
    assert listening == {("127.0.0.1", port) for port in needed}


def test_the_inner_servers_serve_nobody_without_a_key(settings: Settings) -> None:
    """SeaweedFS leaves them open by default, and a page in any browser of this machine could reach them."""
    with stack.ensure_up(settings):
        ObjectStore.from_env().put_bytes("private", b"x")
    (command,) = [one.command for one in stack.services(settings)]
    (filer,) = [word.removeprefix("-filer.port=") for word in command if word.startswith("-filer.port=")]
    answers = {
        urllib3.request(method, f"http://127.0.0.1:{filer}/buckets/rapt/{name}", body=body, retries=False).status
        for method, name, body in (
            ("GET", "private", None),
            ("PUT", "made", b"x"),
            ("DELETE", "private", None),
        )
    }
    assert answers == {401}


def test_objects_outlive_down_and_up(settings: Settings) -> None:
    with stack.ensure_up(settings) as environment:
        assert os.environ["RAPT_S3_ENDPOINT"] == settings.embedded_endpoint
        ObjectStore.from_env().put_bytes("kept", b"x")
    assert os.environ.get("RAPT_S3_ENDPOINT") != settings.embedded_endpoint
    assert stack.status(settings)[0].running
    assert stack.down(settings) == ["object-store"]
    stack.up(settings)
    assert ObjectStore.from_env(environment).get_bytes("kept") == b"x"


def test_two_at_once_start_one_store(variables: dict[str, str], settings: Settings) -> None:
    both = [
        subprocess.Popen([RAPT, "up", "--json"], env=variables, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    began = [json.loads(one.communicate(timeout=120)[0])["services"][0]["began"] for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sorted(began) == [False, True]
    ours = [one for one in psutil.process_iter(["cmdline"]) if str(settings.home) in str(one.info["cmdline"])]
    assert len(ours) == 1


def test_a_used_port_is_one_line_that_names_its_holder(variables: dict[str, str], settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", settings.object_store_port + 3)):
        failed = rapt(variables, "up")
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr.startswith(f"error: port {settings.object_store_port + 3}")
    assert f"pid {os.getpid()}" in failed.stderr
    assert "object_store_port" in failed.stderr
    assert failed.stderr.count("\n") == 1


def test_an_s3_of_the_users_own_starts_nothing(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, s3_endpoint="https://s3.example.org")
    assert stack.up(settings) == []
    assert stack.status(settings) == []
    assert stack.down(settings) == []
