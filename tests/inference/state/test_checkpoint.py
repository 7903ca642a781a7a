"""Checkpoints on a real object store: taken while writing, restored exactly, told when damaged."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.state import manifest as manifests
from inference.state import open_reader
from inference.state.apply import SlabWriter
from inference.state.checkpoint import Checkpointer
from inference.state.layout import SEGMENT, Layout, Phase, Word
from inference.state.restore import Restored, restore
from inference.state.slab import create
from inference.state.timeline import rebuild
from tests.inference.state.streams import PARTITIONS, random_topic, without_checkpoints, writing
from wire.objects import ObjectStore

USERS = [f"u{number}" for number in range(60)]


@pytest.fixture
def store(object_store: ObjectStore) -> ObjectStore:
    """The session's store without checkpoints."""
    return without_checkpoints(object_store)


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> int:
    """Segments of 8 slots, so that a checkpoint of few viewers has several."""
    for module in ("apply", "checkpoint", "layout", "segment", "slab", "slots"):
        monkeypatch.setattr(f"inference.state.{module}.SEGMENT", 8)
    return 8


def states(folder: Path) -> list[tuple[bytes, int, int, int]]:
    reader = open_reader(folder)
    found = [reader.read(user) for user in USERS]
    return [(one.rows.tobytes(), one.partition, one.offset, one.since) for one in found]


def restored(folder: Path, store: ObjectStore, capacity: int = 1000) -> tuple[SlabWriter, Restored]:
    """A serving slab in `folder` from the newest checkpoint."""
    slab = create(folder, Layout(capacity))
    found = restore(slab, store)
    slab.words[Word.STATE] = Phase.SERVING
    return SlabWriter(slab, PARTITIONS), found


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "here"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


@pytest.fixture(autouse=True)
def folders(here: Path, there: Path) -> Iterator[None]:
    here.mkdir()
    there.mkdir()
    yield


@pytest.mark.parametrize("seed", range(4))
def test_a_checkpoint_taken_while_writing_and_the_tail_give_the_same_state(
    small_segments: int, store: ObjectStore, here: Path, there: Path, seed: int
) -> None:
    draw = random.Random(seed)
    topic = random_topic(seed, 1500, viewers=60)
    records = topic.records
    with writing(here) as writer:
        checkpointer = Checkpointer(writer, store, interval_s=0.1)
        done = 0
        while checkpointer.outcomes.written < 3 or done < len(records):
            if done < len(records) and draw.random() < 0.3:
                writer.apply(records[done : done + 20])
                done += 20
            checkpointer.step()
        checkpointer.close()
        assert checkpointer.outcomes.failed == 0
        before = states(here)
    again, found = restored(there, store)
    assert found.manifest is not None
    assert len(found.manifest.segments) > 3
    starts = again.offsets()
    tail = [one for one in records if one.offset >= starts.get(one.partition, 0)]
    again.apply(tail)
    assert states(there) == before


def test_a_checkpoint_with_evictions_under_way_is_exact_by_its_offsets(
    small_segments: int, store: ObjectStore, here: Path, there: Path
) -> None:
    topic = random_topic(9, 3000, viewers=60)
    records = topic.records
    with writing(here, capacity=32) as writer:
        checkpointer = Checkpointer(writer, store, interval_s=0.05)
        done = 0
        while checkpointer.outcomes.written < 2 or done < len(records):
            writer.apply(records[done : done + 7])
            done += 7
            checkpointer.step()
        checkpointer.close()
    again, _ = restored(there, store)
    starts = again.offsets()
    again.apply([one for one in records if one.offset >= starts.get(one.partition, 0)])
    reader = open_reader(there)
    known = 0
    for user in USERS:
        state = reader.read(user)
        mine = [one for one in records if one.partition == state.partition]
        assert rebuild(mine, user, state.since, state.offset).tobytes() == state.rows.tobytes()
        known += len(state.rows) > 0
    assert known == again.viewers >= 20


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    store: ObjectStore, here: Path, there: Path, caplog: pytest.LogCaptureFixture
) -> None:
    topic = random_topic(3, 900, viewers=20)
    with writing(here) as writer:
        checkpointer = Checkpointer(writer, store, interval_s=1000)
        writer.apply(topic.records[:500])
        assert checkpointer.finish(30)
        writer.apply(topic.records[500:])
        assert checkpointer.finish(30)
        checkpointer.close()
        before = states(here)
    newest, older = manifests.newest_first(store)
    (piece,) = manifests.read(store, newest).segments
    data = store.get_bytes(piece.key)
    store.put_bytes(piece.key, data[:100] + bytes([data[100] ^ 1]) + data[101:])
    again, found = restored(there, store)
    assert found.damaged == 1
    assert f"{newest} cannot be used" in caplog.text
    assert found.manifest == manifests.read(store, older)
    starts = again.offsets()
    again.apply([one for one in topic.records if one.offset >= starts.get(one.partition, 0)])
    assert states(there) == before


def test_only_two_checkpoints_and_their_segments_are_kept(store: ObjectStore, here: Path) -> None:
    topic = random_topic(3, 500, viewers=20)
    with writing(here) as writer:
        checkpointer = Checkpointer(writer, store, interval_s=1000)
        for begin in range(0, 500, 100):
            writer.apply(topic.records[begin : begin + 100])
            assert checkpointer.finish(30)
        checkpointer.close()
    kept = manifests.newest_first(store)
    assert len(kept) == 2
    named = {piece.key for key in kept for piece in manifests.read(store, key).segments}
    assert set(store.list(manifests.SEGMENTS)) == named


def test_what_did_not_change_is_not_stored_again(small_segments: int, store: ObjectStore, here: Path) -> None:
    topic = random_topic(3, 1000, viewers=60)
    with writing(here) as writer:
        checkpointer = Checkpointer(writer, store, interval_s=1000)
        writer.apply(topic.records)
        assert checkpointer.finish(30)
        last = topic.records[-1]
        writer.apply([last._replace(offset=last.offset + 1)])
        assert checkpointer.finish(30)
        checkpointer.close()
    newer, older = (
        {piece.key for piece in manifests.read(store, key).segments} for key in manifests.newest_first(store)
    )
    assert len(older) > 3
    assert len(newer - older) == 1


def test_of_two_feeders_one_writes_the_checkpoints(store: ObjectStore, here: Path, there: Path) -> None:
    topic = random_topic(3, 100, viewers=20)
    with writing(here) as one, writing(there) as other:
        first, second = Checkpointer(one, store, 1000), Checkpointer(other, store, 1000)
        one.apply(topic.records)
        other.apply(topic.records)
        assert first.finish(30)
        assert second.finish(30)
        assert (first.outcomes.written, second.outcomes.written, second.outcomes.left_to_others) == (1, 0, 1)
        first.close()
        second.close()


def test_a_store_that_is_away_does_not_stop_the_feeder_and_is_tried_again(
    object_store_env: dict[str, str], store: ObjectStore, here: Path
) -> None:
    away = ObjectStore.from_env(
        {**object_store_env, "RAPT_S3_ENDPOINT": "http://127.0.0.1:9", "RAPT_S3_DEADLINE_S": "0"}
    )
    topic = random_topic(3, 100, viewers=20)
    with writing(here) as writer:
        writer.apply(topic.records)
        checkpointer = Checkpointer(writer, away, interval_s=1000)
        assert not checkpointer.finish(30)
        assert (checkpointer.outcomes.written, checkpointer.outcomes.failed) == (0, 1)
        checkpointer._store = store
        assert checkpointer.finish(30)
        checkpointer.close()
    assert len(manifests.newest_first(store)) == 1


def test_a_smaller_slab_takes_the_viewers_that_were_active_last(store: ObjectStore, here: Path, there: Path) -> None:
    topic = random_topic(3, 900, viewers=60)
    with writing(here) as writer:
        writer.apply(topic.records)
        checkpointer = Checkpointer(writer, store, interval_s=1000)
        assert checkpointer.finish(30)
        checkpointer.close()
        newest = sorted(USERS, key=lambda user: max(open_reader(here).read(user).rows["ts_ms"], default=0))[-20:]
        before = dict(zip(USERS, states(here), strict=True))
    again, _ = restored(there, store, capacity=20)
    assert again.viewers == 20
    after = dict(zip(USERS, states(there), strict=True))
    assert all(after[user] == before[user] for user in newest)


def test_a_segment_is_twelve_megabytes() -> None:
    layout = Layout(SEGMENT)
    assert 11_000_000 < layout.size_bytes - layout.cells < 12_000_000
