"""Real services that tests share: one SeaweedFS a session, on loopback ports that were free."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from rapt.credentials import Credentials, credentials
from rapt.errors import PortInUse, ServiceFailed
from rapt.seaweed import seaweed
from rapt.service import Service, start, stop
from tests.brokers import embedded_broker, kafka_broker  # noqa: F401 - fixtures
from tests.ports import free_ports
from tests.trained import (  # noqa: F401 - fixtures
    bundle,
    containers_env,
    trained_in_containers,
    training_image,
)
from wire.objects import ObjectStore

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait leave the cores to other tests' processes


def start_store(folder: Path, keys: Credentials) -> Service:
    """A started SeaweedFS in `folder`, on other ports when somebody takes the ones found first."""
    for attempt in range(5):
        service = seaweed(folder / "data", free_ports(), keys, "rapt")
        try:
            start(service, folder / "run", deadline_s=60)
            return service
        except (PortInUse, ServiceFailed):
            if attempt == 4:
                raise
    raise AssertionError


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cluster",
        choices=("kind", "current"),
        default="kind",
        help="where the tests on a cluster run: a kind cluster that they make and remove, or kubectl's current context",
    )
    parser.addoption(
        "--no-cleanup",
        action="store_true",
        help="leave what the tests installed on the current context: it goes with its cluster",
    )


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Programs that tests start hear SIGINT, also when the tests run in the background of a shell."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def object_store_env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running object store, as the environment that `ObjectStore.from_env` reads."""
    folder = tmp_path_factory.mktemp("object_store")
    keys = credentials(folder / "credentials.json")
    service = start_store(folder, keys)
    yield {
        "RAPT_S3_ENDPOINT": service.address,
        "RAPT_S3_BUCKET": "rapt",
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
    }
    stop(service.name, folder / "run", grace_s=0.1)


@pytest.fixture(scope="session")
def object_store(object_store_env: dict[str, str]) -> ObjectStore:
    """A client of the session's object store; its bucket is shared, so use keys of your own."""
    return ObjectStore.from_env(object_store_env)


@pytest.fixture
def in_object_store_env(object_store_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The process's environment leads to the session's object store, as in a pipeline's task."""
    for name, value in object_store_env.items():
        monkeypatch.setenv(name, value)
    return ObjectStore.from_env()
