"""A Kafka of the feeder's own, whose topics its tests may delete, and feeders to start and kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.brokers import real_kafka
from tests.inference.state.streams import without_checkpoints
from tests.kafka_broker import KafkaBroker
from tests.ports import free_ports
from tests.waiting import until
from wire.kafka import ALL, Admin, KafkaSettings
from wire.objects import ObjectStore

DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A real Kafka with Rapt's topics."""
    with real_kafka(tmp_path_factory.mktemp("kafka")) as one:
        create_topics(one.plain)
        yield one


def create_topics(settings: KafkaSettings) -> None:
    admin = Admin(settings)
    admin.create(ALL)
    admin.close()


@dataclass
class FeederProcess:
    """A feeder that a test starts, asks and kills; its output is kept in `log`."""

    folder: Path
    environment: dict[str, str]
    port: int = field(default_factory=free_ports)
    process: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> Path:
        """What `open_reader` is given."""
        return Path(self.environment["RAPT_STATE_FOLDER"])

    @property
    def log(self) -> str:
        """All that it said."""
        return (self.folder / "feeder.log").read_text()

    def start(self, *, ready: bool = True) -> None:
        """Start it and wait until it is ready."""
        with (self.folder / "feeder.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "inference.feeder", "--host", "127.0.0.1", "--port", str(self.port)],
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
            )
        if ready:
            until(self.ready, f"the feeder is ready; it said {self.log[-2000:]}")

    def get(self, path: str) -> urllib3.BaseHTTPResponse | None:
        """The answer, None while it does not listen."""
        try:
            return urllib3.request("GET", f"http://127.0.0.1:{self.port}{path}", timeout=5, retries=False)
        except urllib3.exceptions.HTTPError:
            assert self.process is not None
            assert self.process.poll() is None, f"the feeder ended: {self.log[-3000:]}"
            return None

    def ready(self) -> bool:
        answer = self.get("/ready")
        return answer is not None and answer.status == 200

    def status(self) -> dict[str, Any]:
        answer = self.get("/status")
        assert answer is not None
        found: dict[str, Any] = json.loads(answer.data)
        return found

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and wait for the end."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)


@pytest.fixture
def feeder(tmp_path: Path, broker: KafkaBroker, object_store_env: dict[str, str]) -> Iterator[FeederProcess]:
    """A feeder with a folder of its own and no checkpoint, not yet started."""
    without_checkpoints(ObjectStore.from_env(object_store_env))
    one = FeederProcess(
        tmp_path,
        {
            **object_store_env,
            "RAPT_KAFKA_BOOTSTRAP": broker.plain.bootstrap,
            "RAPT_STATE_FOLDER": str(tmp_path / "state"),
            "RAPT_STATE_MEMORY_MIB": "32",
            "RAPT_STATE_CHECKPOINT_S": "1",
        },
    )
    yield one
    if one.process is not None:
        print("the feeder said:", one.log[-3000:])  # is shown with a failure
        if one.process.poll() is None:
            one.end(signal.SIGKILL)
