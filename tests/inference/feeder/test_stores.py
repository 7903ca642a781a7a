"""The feeder on the laptop's broker, and with a Valkey as its store."""

import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.state import open_reader
from inference.state.valkey_store import ValkeyReader
from tests.brokers import EmbeddedBroker
from tests.contract.test_viewer_state import server
from tests.inference.feeder.conftest import FeederProcess, create_topics
from tests.inference.state.streams import encode, event, without_checkpoints
from tests.waiting import until
from wire.kafka import EVENTS, Producer, producer
from wire.objects import ObjectStore

BATCHES_BEHIND = 3000


@pytest.fixture
def sender(embedded_broker: EmbeddedBroker) -> Iterator[Producer]:
    create_topics(embedded_broker.settings)
    one = producer(embedded_broker.settings)
    yield one
    one.close()


@pytest.fixture
def environment(embedded_broker: EmbeddedBroker, object_store_env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    without_checkpoints(ObjectStore.from_env(object_store_env))
    return {
        **object_store_env,
        "RAPT_KAFKA_BOOTSTRAP": embedded_broker.settings.bootstrap,
        "RAPT_STATE_FOLDER": str(tmp_path / "state"),
        "RAPT_STATE_MEMORY_MIB": "16",
    }


def send(sender: Producer, user_id: str, count: int) -> None:
    for number in range(count):
        now_ms = time.time_ns() // 1_000_000
        sender.send(EVENTS, user_id.encode(), encode(event(user_id, now_ms, f"e{number}")))
    sender.flush(30)


def test_the_feeder_follows_the_laptops_broker(environment: dict[str, str], sender: Producer, tmp_path: Path) -> None:
    feeder = FeederProcess(tmp_path, environment)
    user = f"laptop-{secrets.token_hex(4)}"
    send(sender, user, 3)
    feeder.start()
    try:
        reader = open_reader(feeder.state)
        until(lambda: len(reader.read(user).rows) == 3, "what was sent before is there")
        began = time.monotonic()
        send(sender, user, 1)
        until(lambda: len(reader.read(user).rows) == 4, "what is sent now is there")
        assert time.monotonic() - began < 30
        until(lambda: reader.freshness().ready, "ready")
    finally:
        assert feeder.end() == 0


@pytest.mark.slow
def test_a_feeder_catches_up_from_far_behind_on_the_laptops_broker(
    environment: dict[str, str], sender: Producer, tmp_path: Path
) -> None:
    """Tansu keeps an object a batch; to list thousands of them takes longer than a fetch on a level stream may."""
    user = f"far-{secrets.token_hex(4)}"
    for _ in range(BATCHES_BEHIND):
        send(sender, user, 1)
    feeder = FeederProcess(tmp_path, environment)
    feeder.start()
    try:
        reader = open_reader(feeder.state)
        # It tells where it is after a batch is in the state.
        partition = str(reader.read(user).partition)
        until(lambda: feeder.status()["offsets"][partition] == reader.read(user).offset, "it tells where it is")
        began = time.monotonic()
        send(sender, user, 1)
        until(lambda: reader.freshness().lag == 0, "level")
        assert time.monotonic() - began < 30, "fetches are short again"
    finally:
        assert feeder.end() == 0


def test_a_feeder_with_a_valkey_goes_on_where_the_killed_one_was(
    environment: dict[str, str], sender: Producer, tmp_path: Path
) -> None:
    user = f"valkey-{secrets.token_hex(4)}"
    with server(tmp_path) as address:
        feeder = FeederProcess(tmp_path, {**environment, "RAPT_STATE_VALKEY": address})
        feeder.start()
        reader = ValkeyReader(address)
        send(sender, user, 3)
        until(lambda: len(reader.read(user).rows) == 3, "the events are there")
        feeder.end(9)
        send(sender, user, 2)
        feeder.start()
        until(lambda: len(reader.read(user).rows) == 5, "the others too")
        assert feeder.status()["records"] < 5 + 3
        until(lambda: reader.freshness().ready, "ready")
        assert feeder.end() == 0
