"""The laptop's stack through the real command, with a real SeaweedFS."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import urllib3

from rapt import service, stack
from rapt.settings import Settings, load
from tests.ports import free_ports
from wire.objects import ObjectStore

NEED_MODEL = ("predictor", "explainer", "catalogue-feed", "transformer")
RAPT = str(Path(sys.executable).with_name("rapt"))


@pytest.fixture
def variables(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a user with an empty home and free ports; what they started is ended."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("RAPT_", "AWS_"))}
    ports = {f"RAPT_{name}_PORT": str(free_ports()) for name in ("OBJECT_STORE", "BROKER", "SERVING")}
    mine = {**plain, "RAPT_HOME": str(tmp_path / "home"), **ports}
    yield mine
    stack.down(load(mine, tmp_path))


@pytest.fixture
def settings(variables: dict[str, str], tmp_path: Path) -> Settings:
    return load(variables, tmp_path)


def rapt(variables: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([RAPT, *arguments], env=variables, capture_output=True, text=True, timeout=120)


def listening(processes: list[psutil.Process]) -> set[tuple[str, int]]:
    """Addresses on which the processes take connections."""
    pids = {process.pid for process in processes}
    return {
        (connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port)
        for connection in psutil.net_connections("inet")
        if connection.pid in pids and connection.status == psutil.CONN_LISTEN
    }


@pytest.mark.slow
def test_up_status_down_as_a_user_sees_them(variables: dict[str, str], settings: Settings) -> None:
    assert rapt(variables, "status").returncode == 3
    first = rapt(variables, "up")
    assert first.returncode == 0, first.stderr
    states = [line.split("  ") for line in first.stdout.splitlines()]
    assert [(name, state) for name, _, state in states] == [
        ("object-store", "started"), ("broker", "started"), ("feeder", "started"),
        *((name, "waits for a published model") for name in NEED_MODEL),
        *((name, "started") for name in ("labels", "experiments", "reports", "dashboard")),
    ]  # fmt: skip
    assert "rapt pipeline run training" in first.stderr
    assert "already running" in rapt(variables, "up").stdout

    running = rapt(variables, "status", "--json")
    assert running.returncode == 0
    one, *others = json.loads(running.stdout)["services"]
    processes = [psutil.Process(about["pid"]) for about in (one, *others)]
    process = processes[0]
    assert others[1]["details"]["lag"] == 0
    assert {place[0] for place in listening(processes)} == {"127.0.0.1"}
    assert one["running"]
    assert one["address"] == settings.embedded_endpoint
    assert 0 < one["memory_bytes"] < 400_000_000
    secret = settings.environment()["AWS_SECRET_ACCESS_KEY"]
    for process, about in zip(processes, (one, *others), strict=True):
        assert secret not in " ".join(process.cmdline())
        assert secret not in first.stdout + first.stderr + Path(about["log"]).read_text()
    assert settings.home.stat().st_mode & 0o777 == 0o700

    ended = rapt(variables, "down").stdout.split()
    assert ended[::2] == [
        "experiments", "dashboard", "reports", "labels",
        "transformer", "catalogue-feed", "explainer", "predictor", "feeder", "broker",
        "object-store",
    ]  # fmt: skip
    assert not psutil.wait_procs(processes, timeout=60)[1]
    assert not settings.state_folder.exists()
    assert rapt(variables, "status").returncode == 3
    assert rapt(variables, "down", "--json").stdout.split() == ["{", '"ended":', "[]", "}"]


def test_the_store_listens_on_loopback_only(variables: dict[str, str], settings: Settings) -> None:
    with stack.ensure_up(settings):
        store = psutil.Process(stack.status(settings)[0].pid)
        needed = {("127.0.0.1", port) for port in stack.services(settings)[0].ports}
        found: set[tuple[str, int]] = set()
        give_up_at = time.monotonic() + 30
        while found < needed and time.monotonic() < give_up_at:
            found = listening([store])
    assert found == needed


@pytest.mark.slow
def test_the_inner_servers_serve_nobody_without_a_key(settings: Settings) -> None:
    """SeaweedFS leaves them open by default, and a page in any browser of this machine could reach them."""
    with stack.ensure_up(settings):
        ObjectStore.from_env().put_bytes("private", b"x")
    (command,) = [one.command for one in stack.storage(settings)]
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


@pytest.mark.slow
def test_objects_outlive_down_and_up(settings: Settings) -> None:
    with stack.ensure_up(settings) as environment:
        assert os.environ["RAPT_S3_ENDPOINT"] == settings.embedded_endpoint
        ObjectStore.from_env().put_bytes("kept", b"x")
    assert os.environ.get("RAPT_S3_ENDPOINT") != settings.embedded_endpoint
    assert stack.status(settings)[0].running
    assert stack.down(settings) == ["object-store"]
    with stack.ensure_up(settings):
        pass
    assert ObjectStore.from_env(environment).get_bytes("kept") == b"x"


@pytest.mark.slow
def test_two_at_once_start_one_store(variables: dict[str, str], settings: Settings) -> None:
    both = [
        subprocess.Popen([RAPT, "up", "--json"], env=variables, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    began = [json.loads(one.communicate(timeout=120)[0])["services"][0]["began"] for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sorted(began) == [False, True]
    stores = [one for one in psutil.process_iter(["cmdline"]) if f"-dir={settings.home}" in str(one.info["cmdline"])]
    assert len(stores) == 1


def test_a_used_port_is_one_line_that_names_its_holder(variables: dict[str, str], settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", settings.object_store_port + 3)):
        failed = rapt(variables, "up")
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr.startswith(f"error: port {settings.object_store_port + 3}")
    assert f"pid {os.getpid()}" in failed.stderr
    assert "object_store_port" in failed.stderr
    assert failed.stderr.count("\n") == 1


def test_an_s3_and_a_kafka_of_the_users_own_are_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x" * 20)
    settings = Settings(home=tmp_path, s3_endpoint="https://s3.example.org", kafka_bootstrap="kafka.example.org:9092")
    names = [one.name for one in stack.services(settings)]
    assert names == [
        "feeder", "predictor", "explainer", "catalogue-feed", "transformer", "labels", "experiments", "reports",
        "dashboard",
    ]  # fmt: skip


@pytest.mark.slow
def test_what_was_killed_is_started_again(variables: dict[str, str], settings: Settings) -> None:
    assert rapt(variables, "up").returncode == 0

    def feeder() -> service.ServiceStatus:
        return next(one for one in stack.status(settings) if one.name == "feeder")

    killed = feeder().pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    give_up_at = time.monotonic() + 60
    while feeder().pid in (killed, None) or feeder().details.get("lag") != 0:
        assert time.monotonic() < give_up_at, "the feeder did not come back"
        time.sleep(0.1)
    assert feeder().restarts == 1
    assert "1" in next(line for line in rapt(variables, "status").stdout.splitlines() if line.startswith("feeder"))
