"""The laptop's broker and the store under it die while records are written and read: nothing acknowledged is lost."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rapt.credentials import credentials
from rapt.seaweed import NAME as STORE
from rapt.service import Service, find, start, stop
from tests.brokers import EmbeddedBroker, start_embedded
from tests.conftest import start_store
from tests.contract.streams import PARTITIONS, Sender, all_of, reading, take, writing
from wire.errors import DeliveryFailed
from wire.kafka import Admin, Client, Topic

pytestmark = pytest.mark.slow
RECOVERY_S = 60.0


@dataclass
class Ground:
    """An object store and a broker of this test's own."""

    store: Service
    broker: EmbeddedBroker
    run_folder: Path

    def kill_store(self) -> None:
        process = find(STORE, self.run_folder)
        assert process is not None
        process.kill()
        process.wait()

    def start_store(self) -> None:
        start(self.store, self.run_folder, deadline_s=60)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    keys = credentials(tmp_path / "credentials.json")
    store = start_store(tmp_path, keys)
    environment = {
        "RAPT_S3_ENDPOINT": store.address,
        "RAPT_S3_BUCKET": "rapt",
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
    }
    broker = start_embedded(tmp_path / "broker", environment)
    yield Ground(store, broker, tmp_path / "run")
    stop(broker.service.name, broker.run_folder, grace_s=0.1)
    stop(STORE, tmp_path / "run", grace_s=0.1)


@pytest.mark.parametrize("dying", ["broker", "store", "both"])
@pytest.mark.parametrize("client", list(Client))
def test_a_kill_under_load_loses_nothing(ground: Ground, client: Client, dying: str) -> None:
    settings = ground.broker.settings
    admin = Admin(settings)
    admin.create([Topic("events", PARTITIONS)])
    admin.close()
    with writing(settings, client) as writer, reading(settings, all_of("events"), client) as reader:
        sender = Sender(writer, "events")
        sender.start()
        try:
            found = take(reader, 2000)
            if dying != "broker":
                ground.kill_store()
            if dying != "store":
                ground.broker.kill()
            found += reader.poll(1000, 1.0)
            if dying != "broker":
                ground.start_store()
            if dying != "store":
                ground.broker.start()
            wanted = sender.sent + 2000
            give_up_at = time.monotonic() + RECOVERY_S
            while len(found) < wanted and time.monotonic() < give_up_at:
                found += reader.poll(1000, 0.5)
            assert len(found) >= wanted
        finally:
            sender.ended.set()
            sender.join()
        with contextlib.suppress(DeliveryFailed):  # Tansu gives some up that came while the store was away
            writer.flush(RECOVERY_S)
        assert writer.unacknowledged == 0
        failed = writer.failed
    assert dying != "broker" or failed == 0
    with reading(settings, all_of("events"), client) as reader:
        again: set[int] = set()
        while any(lag > 0 for lag in reader.lags().values()):
            again |= {int(one.value or b"") for one in reader.poll(10_000, 1.0)}
    missing = set(range(sender.sent)) - again
    assert len(missing) <= failed, f"{len(missing)} missing, {failed} said to have failed"
