"""One long-running process of the laptop's stack: start it detached, find it again, stop exactly it.

A pid file holds the process's id and its start time, so that an id which the system gave to another
process since then is never taken for ours and never signalled.
"""

import contextlib
import json
import math
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from rapt.errors import PortInUse, ServiceFailed

POLL_S = 0.02
SAME_START_S = 1.0
INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "TZ")


@dataclass(frozen=True)
class Service:
    """What to run and how to know that it works.

    `environment` is all that the process gets beside PATH, HOME, TMPDIR, LANG and TZ. `ready` makes one real
    request and tells whether it was answered. One that `needs_model` is not ready before a model is published.
    `status` gives what it says of itself, for people and programs; None when it does not answer. `grace_s` is the
    longest time from SIGTERM to SIGKILL that is of use to it.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ports: tuple[int, ...]
    port_setting: str
    address: str
    data: Path
    ready: Callable[[], bool]
    needs_model: bool = False
    status: Callable[[], Mapping[str, Any] | None] = lambda: None
    grace_s: float = math.inf


@dataclass(frozen=True)
class ServiceStatus:
    """What runs now; the figures are 0 and `pid` is None when it does not.

    `restarts`: how often it was started again since `rapt up`. `details`: what it says of itself.
    """

    name: str
    running: bool
    pid: int | None
    address: str
    memory_bytes: int
    data_bytes: int
    uptime_s: float
    log: Path
    restarts: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)


def start(service: Service, run_folder: Path, deadline_s: float) -> bool:
    """Start the service in a session of its own and wait until it is ready; False when it runs already.

    Raises PortInUse, or ServiceFailed with the end of the log when it ends or is not ready by `deadline_s`.
    """
    began = launch(service, run_folder)
    wait_ready(service, run_folder, deadline_s, began=began)
    return began


def launch(service: Service, run_folder: Path) -> bool:
    """Start the service unless it runs, without waiting for it; False when it runs already. Raises PortInUse."""
    if find(service.name, run_folder) is not None:
        return False
    for port in service.ports:
        refuse_used_port(service.name, service.port_setting, port)
    _spawn(service, run_folder)
    return True


def wait_ready(service: Service, run_folder: Path, deadline_s: float, *, began: bool) -> None:
    """Wait until the service answers; what this call's owner `began` is ended when it never does.

    Raises ServiceFailed with the end of the log when it ends or is not ready by `deadline_s`.
    """
    give_up_at = time.monotonic() + deadline_s
    while not service.ready():
        if find(service.name, run_folder) is None:
            pid_file(service.name, run_folder).unlink(missing_ok=True)
            raise ServiceFailed(f"{service.name} ended while starting: {last_words(service.name, run_folder)}")
        if time.monotonic() > give_up_at:
            if began:
                stop(service.name, run_folder, grace_s=1.0)
            raise ServiceFailed(
                f"{service.name} does not answer at {service.address} after {deadline_s:g} s: "
                f"{last_words(service.name, run_folder)}"
            )
        time.sleep(POLL_S)


def stop(name: str, run_folder: Path, grace_s: float) -> bool:
    """End the service: SIGTERM, then SIGKILL after `grace_s`; False when it does not run."""
    process = find(name, run_folder)
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
            if not _ends(process, grace_s):
                process.kill()
                _ends(process, math.inf)
    pid_file(name, run_folder).unlink(missing_ok=True)
    return process is not None


def find(name: str, run_folder: Path) -> psutil.Process | None:
    """The running process that the pid file means, or None: no file, ended, or the id is another's now."""
    try:
        noted = json.loads(pid_file(name, run_folder).read_text())
        process = psutil.Process(int(noted["pid"]))
        same = abs(process.create_time() - float(noted["started_at_s"])) < SAME_START_S
    except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError, ValueError, psutil.NoSuchProcess):
        return None
    return process if same and _alive(process) else None


def status(service: Service, run_folder: Path) -> ServiceStatus:
    """What runs, its memory, the size of its data, and since when."""
    process = find(service.name, run_folder)
    memory_bytes, uptime_s = 0, 0.0
    if process is not None:
        try:
            memory_bytes = process.memory_info().rss
            uptime_s = max(0.0, time.time() - process.create_time())
        except psutil.NoSuchProcess:
            process = None
    return ServiceStatus(
        name=service.name,
        running=process is not None,
        pid=process.pid if process else None,
        address=service.address,
        memory_bytes=memory_bytes,
        data_bytes=folder_bytes(service.data),
        uptime_s=uptime_s,
        log=log_file(service.name, run_folder),
        details=(service.status() or {}) if process is not None else {},
    )


def refuse_used_port(name: str, setting: str, port: int) -> None:
    """Raise PortInUse, naming the holder where the system tells it, unless the loopback port is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return
        except OSError as error:
            reason = error.strerror
    holder = port_holder(port)
    by = f"is held by {holder}: end it" if holder else f"cannot be taken ({reason}): end what holds it"
    raise PortInUse(f"port {port}, which {name} needs, {by}, or set {setting} to another")


def port_holder(port: int) -> str | None:
    """`name (pid N)` of the process that listens on the port, when the system tells."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})" if connection.pid else None
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return None
    return None


def pid_file(name: str, run_folder: Path) -> Path:
    """Where the pid and start time of a service are noted."""
    return run_folder / f"{name}.pid"


def log_file(name: str, run_folder: Path) -> Path:
    """Where a service's output goes; the one of the run before is kept as `.1`."""
    return run_folder / f"{name}.log"


def folder_bytes(folder: Path) -> int:
    """Disk space taken by the files in a folder, in bytes; files that vanish meanwhile count as 0."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def _spawn(service: Service, run_folder: Path) -> psutil.Process:
    run_folder.mkdir(parents=True, exist_ok=True)
    service.data.mkdir(parents=True, exist_ok=True)
    log = log_file(service.name, run_folder)
    if log.exists():
        shutil.move(log, log.with_suffix(".log.1"))
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    writing = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        service.command[0],
        service.command,
        {**environment, **service.environment},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), writing, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    process = psutil.Process(pid)
    noted = pid_file(service.name, run_folder)
    part = noted.with_suffix(".pid.part")
    part.write_text(json.dumps({"pid": pid, "started_at_s": process.create_time()}))
    part.replace(noted)
    return process


def _ends(process: psutil.Process, within_s: float) -> bool:
    """Wait for its end, which is not when its parent learns of it: in a container nobody may ever ask."""
    give_up_at = time.monotonic() + within_s
    while _alive(process):
        if time.monotonic() > give_up_at:
            return False
        time.sleep(POLL_S)
    with contextlib.suppress(psutil.TimeoutExpired):
        process.wait(0)  # a child of ours is no zombie then
    return True


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and (process.status() != psutil.STATUS_ZOMBIE or _threads(process.pid) > 1)
    except psutil.NoSuchProcess:
        return False


def _threads(pid: int) -> int:
    """Threads that are left, where the system tells: when the first is a zombie, others may still hold the ports."""
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return 0


def last_words(name: str, run_folder: Path) -> str:
    """The last line of a service's log, and where it lies."""
    log = log_file(name, run_folder)
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except FileNotFoundError:
        lines = []
    return f"{lines[-1][:300] if lines else 'it wrote nothing'} (log: {log})"
