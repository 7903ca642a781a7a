"""The laptop's processes as one stack: start all, end all, look at all. `rapt up` is this module."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass

from rapt import service
from rapt.credentials import credentials
from rapt.seaweed import seaweed
from rapt.service import Service, ServiceStatus
from rapt.settings import Settings


@dataclass(frozen=True)
class Started:
    """A service that runs; `began` tells that this call started it."""

    name: str
    address: str
    began: bool


def services(settings: Settings) -> list[Service]:
    """What the stack consists of, in the order in which it starts."""
    if not settings.embedded:
        return []
    return [
        seaweed(
            settings.home / "objects",
            settings.object_store_port,
            credentials(settings.credentials_file),
            settings.s3_bucket,
            settings.object_store_memory_mib,
        )
    ]


def up(settings: Settings) -> list[Started]:
    """Start what does not run yet and wait until all of it answers; calls at the same time take turns.

    Raises PortInUse, ServiceFailed, MissingProgram.
    """
    with _lock(settings):
        return [
            Started(one.name, one.address, service.start(one, settings.run_folder, settings.start_deadline_s))
            for one in services(settings)
        ]


def down(settings: Settings) -> list[str]:
    """End all that runs, last started first, and return the names of what was ended."""
    with _lock(settings):
        return [
            one.name
            for one in reversed(services(settings))
            if service.stop(one.name, settings.run_folder, settings.stop_grace_s)
        ]


def status(settings: Settings) -> list[ServiceStatus]:
    """What of the stack runs, and what it takes."""
    return [service.status(one, settings.run_folder) for one in services(settings)]


@contextlib.contextmanager
def ensure_up(settings: Settings) -> Iterator[dict[str, str]]:
    """Inside, the stack runs and `os.environ` leads this process and its children to it.

    The stack goes on running afterwards, since other runs may use it; `rapt down` ends it.
    """
    up(settings)
    environment = settings.environment()
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield environment
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _lock(settings: Settings) -> Iterator[None]:
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.run_folder.mkdir(parents=True, exist_ok=True)
    with (settings.run_folder / "stack.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
