"""The laptop's processes as one stack: start all, end all, look at all. `rapt up` is this module."""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rapt import service, serving, supervisor
from rapt.credentials import credentials
from rapt.errors import ServiceFailed
from rapt.seaweed import seaweed
from rapt.service import Service, ServiceStatus
from rapt.settings import Settings
from rapt.tansu import tansu
from wire import models
from wire.errors import ObjectNotFound
from wire.kafka import ALL, Admin, KafkaSettings
from wire.objects import ObjectStore

WAIT_S = 0.05


@dataclass(frozen=True)
class Started:
    """A service that runs; `began` tells that this call started it, `waits` for what it is not ready yet."""

    name: str
    address: str
    began: bool
    waits: str = ""


def storage(settings: Settings) -> list[Service]:
    """The object store, which pipelines need too; nothing when the user has their own."""
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


def stages(settings: Settings) -> list[list[Service]]:
    """What the stack consists of; all of a stage starts at once, when the stage before it is ready."""
    environment = settings.environment() | settings.stream_environment()
    broker = [tansu(settings.home / "broker", settings.broker_port, environment)] if settings.embedded_broker else []
    backends = serving.backends(settings, environment)
    front = [serving.transformer(settings, environment), *serving.observers(settings, environment)]
    return [storage(settings), broker, backends, front]


def services(settings: Settings) -> list[Service]:
    """All of it, in the order in which it starts."""
    return [one for stage in stages(settings) for one in stage]


def up(settings: Settings) -> list[Started]:
    """Start what does not run yet and wait until all of it answers; calls at the same time take turns.

    What needs a model is started and not waited for while none is published. Raises PortInUse,
    ServiceFailed, MissingProgram.
    """
    with _lock(settings):
        service.stop(supervisor.NAME, settings.run_folder, settings.stop_grace_s)
        store, broker, *rest = stages(settings)
        started = [*_start(settings, store), *_start(settings, broker)]
        make_topics(settings)
        for stage in rest:
            started += _start(settings, stage)
        watch = supervisor.supervisor(settings.run_folder, settings.variables())
        service.start(watch, settings.run_folder, settings.start_deadline_s)
    return started


def down(settings: Settings) -> list[str]:
    """End all that runs, last started first, and return the names of what was ended."""
    with _lock(settings):
        service.stop(supervisor.NAME, settings.run_folder, settings.stop_grace_s)
        # The loop that would start it again goes first.
        ended = [
            name
            for name in ("retraining", "experiments", "candidate")
            if service.stop(name, settings.run_folder, settings.stop_grace_s)
        ]
        ended += [
            one.name
            for one in reversed(services(settings))
            if service.stop(one.name, settings.run_folder, min(settings.stop_grace_s, one.grace_s))
        ]
        # It lies in memory, and its checkpoint in the store: the next feeder makes it anew.
        shutil.rmtree(settings.state_folder, ignore_errors=True)
        return ended


def end(settings: Settings, names: Sequence[str]) -> None:
    """End some services, and what would start them again; `up` starts all of them, as its settings say."""
    with _lock(settings):
        service.stop(supervisor.NAME, settings.run_folder, settings.stop_grace_s)
        for name in names:
            service.stop(name, settings.run_folder, settings.stop_grace_s)


def status(settings: Settings) -> list[ServiceStatus]:
    """What of the stack runs, and what it takes."""
    again = supervisor.restarts(settings.run_folder)
    return [
        replace(service.status(one, settings.run_folder), restarts=int(again.get(one.name, {}).get("count", 0)))
        for one in services(settings)
    ]


def pids(settings: Settings) -> list[int]:
    """The processes of the stack that run now."""
    names = (*(one.name for one in services(settings)), supervisor.NAME)
    return [found.pid for name in names if (found := service.find(name, settings.run_folder))]


def wait_served(settings: Settings, digest: str) -> None:
    """Wait until predictor and explainer serve that model, which was published just now; raises ServiceFailed."""
    watched = [one for one in services(settings) if one.name in {"predictor", "explainer"}]
    give_up_at = time.monotonic() + settings.start_deadline_s
    while waiting := [one.name for one in watched if (one.status() or {}).get("model_digest") != digest]:
        if time.monotonic() > give_up_at:
            words = service.last_words(waiting[0], settings.run_folder)
            raise ServiceFailed(f"{waiting[0]} does not serve {digest[:12]}: {words}")
        time.sleep(WAIT_S)


def _start(settings: Settings, stage: Sequence[Service]) -> list[Started]:
    """Start a stage's services side by side and wait for each."""
    began = {one.name: service.launch(one, settings.run_folder) for one in stage}
    missing = any(one.needs_model for one in stage) and not _published(settings)
    started = []
    for one in stage:
        waits = "a published model" if missing and one.needs_model else ""
        if not waits:
            service.wait_ready(one, settings.run_folder, settings.start_deadline_s, began=began[one.name])
        started.append(Started(one.name, one.address, began[one.name], waits))
    return started


def make_topics(settings: Settings) -> None:
    """Have all topics; harmless when they are there. Raises KafkaError."""
    admin = Admin(KafkaSettings.from_env(settings.stream_environment()))
    try:
        # The laptop's broker writes an object for each batch and partition: one does.
        admin.create([replace(topic, partitions=1) for topic in ALL] if settings.embedded_broker else ALL)
    finally:
        admin.close()


def _published(settings: Settings) -> bool:
    try:
        models.latest(ObjectStore.from_env(settings.environment()))
    except ObjectNotFound:
        return False
    return True


@contextlib.contextmanager
def ensure_up(settings: Settings) -> Iterator[dict[str, str]]:
    """Inside, the object store runs and `os.environ` leads this process and its children to it.

    The store goes on running afterwards, since other runs may use it; `rapt down` ends it.
    """
    with _lock(settings):
        _start(settings, storage(settings))
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
