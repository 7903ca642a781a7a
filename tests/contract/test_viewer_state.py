"""What any store of viewers' states must do: the slab in shared memory, and a Valkey (or Redis) server."""

import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import valkey

from inference.state import StateReader, open_reader
from inference.state.store import StateWriter
from inference.state.timeline import rebuild
from inference.state.valkey_store import ValkeyReader, ValkeyWriter
from interest.records import Kind
from tests.inference.state.streams import (
    BEGIN_MS,
    PARTITIONS,
    Topic,
    batches,
    event,
    expected,
    random_topic,
    writing,
)
from tests.ports import free_ports

SERVERS = ("valkey-server", "redis-server")


@dataclass
class Store:
    """A writer and a reader of one store."""

    writer: StateWriter
    reader: StateReader


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A Valkey or Redis server on loopback, with nothing in it."""
    program = next((found for name in SERVERS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"neither {' nor '.join(SERVERS)} is installed (Debian: redis-server)")
    port = free_ports()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    client = valkey.Valkey("127.0.0.1", port)
    try:
        give_up_at = time.monotonic() + 30
        while True:
            try:
                client.ping()
                break
            except valkey.ConnectionError:
                assert time.monotonic() < give_up_at
                time.sleep(0.02)
        yield f"127.0.0.1:{port}"
    finally:
        client.close()
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(tmp_path_factory.mktemp("valkey")) as found:
        yield found


@pytest.fixture(params=["slab", "valkey"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "slab":
        with writing(tmp_path) as writer:
            yield Store(writer, open_reader(tmp_path))
        return
    address = request.getfixturevalue("address")
    writer = ValkeyWriter(address, PARTITIONS)
    yield Store(writer, ValkeyReader(address))
    writer.clear()


@pytest.mark.parametrize("seed", range(4))
def test_rows_are_what_the_definition_makes(store: Store, seed: int) -> None:
    draw = random.Random(seed)
    topic = random_topic(seed, 800, viewers=draw.choice([2, 30]), steady=draw.choice([0.0, 0.6, 0.97]))
    for batch in batches(topic.records, draw, draw.choice([5, 300])):
        store.writer.apply(batch)
    for user in sorted({one.key.decode() for one in topic.records if one.key})[:10]:
        state = store.reader.read(user)
        assert state.rows.tobytes() == expected(topic.records, user).tobytes()
        mine = [one for one in topic.records if one.partition == state.partition]
        assert rebuild(mine, user, state.since, state.offset).tobytes() == state.rows.tobytes()


def test_both_stores_count_the_same(tmp_path: Path, address: str) -> None:
    topic = random_topic(1, 1000, viewers=20)
    other = ValkeyWriter(address, PARTITIONS)
    with writing(tmp_path) as writer:
        assert writer.apply(topic.records) == other.apply(topic.records)
        assert writer.offsets() == other.offsets()
        assert writer.viewers == other.viewers
    other.clear()


def test_a_replay_changes_nothing_and_is_counted(store: Store) -> None:
    topic = random_topic(1, 400, viewers=5)
    store.writer.apply(topic.records)
    before = [store.reader.read(f"u{number}") for number in range(5)]
    tally = store.writer.apply(topic.records[100:])
    after = [store.reader.read(f"u{number}") for number in range(5)]
    assert tally.seen == tally.feedback > 0
    assert [one.rows.tobytes() for one in before] == [one.rows.tobytes() for one in after]
    assert [one.offset for one in before] == [one.offset for one in after]


def test_offsets_are_those_that_come_next(store: Store) -> None:
    assert store.writer.offsets() == {}
    topic = Topic()
    records = [topic.add(event(f"u{number}", kind=Kind.IMPRESSION)) for number in range(50)]
    store.writer.apply(records)
    counts = [sum(one.partition == number for one in records) for number in range(PARTITIONS)]
    assert store.writer.offsets() == dict(enumerate(counts))
    assert store.writer.viewers == 0


def test_what_cannot_be_used_is_buried_before_the_offsets_pass_it(store: Store) -> None:
    topic = Topic()
    poison = topic.add_raw(b"u", b"\xff not JSON")
    topic.add(event("u"))
    buried = []

    def bury(rejected: object) -> None:
        assert store.writer.offsets() == {}
        buried.append(rejected)

    store.writer.apply(topic.records, bury)
    ((record, reason),) = buried[0]
    assert record == poison
    assert reason.startswith("not an event")
    assert store.writer.offsets() == {poison.partition: 2}
    assert len(store.reader.read("u").rows) == 1


def test_an_unknown_viewer_has_no_rows(store: Store) -> None:
    state = store.reader.read("nobody é \U0001f600")
    assert (len(state.rows), state.partition, state.offset, state.since) == (0, -1, 0, 0)


def test_a_cleared_store_begins_again(store: Store) -> None:
    topic = Topic()
    store.writer.apply([topic.add(event("u", BEGIN_MS, "old"))])
    store.writer.clear()
    assert (store.writer.viewers, store.writer.offsets()) == (0, {})
    assert len(store.reader.read("u").rows) == 0
    store.writer.apply([Topic().add(event("u", BEGIN_MS, "new"))])
    assert len(store.reader.read("u").rows) == 1


def test_freshness_is_what_the_feeder_told_last(store: Store) -> None:
    topic = Topic()
    store.writer.apply([topic.add(event("u")), topic.add(event("w"))])
    now_ms = int(time.time() * 1000)
    store.writer.beat(now_ms, now_ms - 3000, 17, ready=True)
    fresh = store.reader.freshness()
    assert 3000 <= fresh.age_ms < 60_000
    assert (fresh.lag, fresh.viewers, fresh.ready, fresh.alive) == (17, 2, True, True)
    store.writer.beat(now_ms - 60_000, now_ms - 60_000, 0, ready=True)
    fresh = store.reader.freshness()
    assert (fresh.ready, fresh.alive) == (False, False)
