"""Applying records to the slab: against the plain definition, for any cut into batches."""

import random
from pathlib import Path

import numpy as np
import pytest

from inference.state import open_reader
from inference.state.timeline import rebuild
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


@pytest.mark.parametrize("seed", range(12))
def test_rows_are_what_the_definition_makes_for_any_batches(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    topic = random_topic(seed, 1500, viewers=draw.choice([2, 12, 300]), steady=draw.choice([0.0, 0.6, 0.97]))
    looks = set(draw.sample(range(len(topic.records)), 6)) | {len(topic.records)}
    with writing(tmp_path) as writer:
        reader = open_reader(tmp_path)
        done = 0
        for batch in batches(topic.records, draw, draw.choice([1, 50, 2000])):
            writer.apply(batch)
            begun, done = done, done + len(batch)
            if any(begun < look <= done for look in looks):
                users = sorted({one.key.decode() for one in topic.records[:done] if one.key})
                for user in draw.sample(users, min(len(users), 6)):
                    assert reader.read(user).rows.tobytes() == expected(topic.records[:done], user).tobytes()


@pytest.mark.parametrize("seed", range(8))
def test_a_state_can_be_rebuilt_from_the_topic_also_after_evictions(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    topic = random_topic(seed, 1500, viewers=60, steady=0.5)
    with writing(tmp_path, capacity=20) as writer:
        reader = open_reader(tmp_path)
        for batch in batches(topic.records, draw, 300):
            writer.apply(batch)
            for user in [f"u{draw.randrange(60)}" for _ in range(5)]:
                state = reader.read(user)
                mine = [one for one in topic.records if one.partition == state.partition]
                assert rebuild(mine, user, state.since, state.offset).tobytes() == state.rows.tobytes()
        assert writer.evictions > 100
        assert writer.viewers <= 20


def test_a_replay_from_any_earlier_offset_changes_nothing(tmp_path: Path) -> None:
    topic = random_topic(5, 2000, viewers=30)
    users = [f"u{number}" for number in range(30)]
    with writing(tmp_path) as writer:
        reader = open_reader(tmp_path)
        writer.apply(topic.records)
        before = [reader.read(user) for user in users]
        tally = writer.apply(topic.records[700:])
        after = [reader.read(user) for user in users]
    assert tally.seen == tally.feedback > 500
    for one, other in zip(before, after, strict=True):
        assert one.rows.tobytes() == other.rows.tobytes()
        assert (one.partition, one.offset, one.since) == (other.partition, other.offset, other.since)


def test_an_unknown_viewer_has_no_rows(tmp_path: Path) -> None:
    with writing(tmp_path) as writer:
        writer.apply([Topic().add(event("somebody"))])
        state = open_reader(tmp_path).read("nobody")
    assert (len(state.rows), state.partition, state.offset, state.since) == (0, -1, 0, 0)


def test_rows_belong_to_the_caller(tmp_path: Path) -> None:
    topic = Topic()
    with writing(tmp_path) as writer:
        writer.apply([topic.add(event("u", BEGIN_MS, "first"))])
        reader = open_reader(tmp_path)
        before = reader.read("u").rows
        copy = before.tobytes()
        writer.apply([topic.add(event("u", BEGIN_MS - 1, "second"))])
        assert before.tobytes() == copy
        assert reader.read("u").rows["ts_ms"].tolist() == [BEGIN_MS - 1, BEGIN_MS]


def test_a_viewer_of_a_million_events_does_not_slow_the_others(tmp_path: Path) -> None:
    topic = Topic(1)
    first = topic.add(event("hot"))
    hot = [first._replace(offset=number) for number in range(30_000)]
    with writing(tmp_path, partitions=1) as writer:
        for begin in range(0, 1_000_000, len(hot)):
            size = min(len(hot), 1_000_000 - begin)
            assert first.value is not None
            records = [
                one._replace(
                    offset=begin + one.offset,
                    ts_ms=BEGIN_MS + begin + one.offset,
                    value=first.value.replace(b"%d" % BEGIN_MS, b"%d" % (BEGIN_MS + begin + one.offset)),
                )
                for one in hot[:size]
            ]
            writer.apply(records)
        state = open_reader(tmp_path).read("hot")
    assert state.offset == 1_000_000
    assert state.rows["ts_ms"].tolist() == list(range(BEGIN_MS + 999_900, BEGIN_MS + 1_000_000))


def test_impressions_are_counted_and_leave_no_row(tmp_path: Path) -> None:
    topic = Topic()
    records = [topic.add(event("u", BEGIN_MS + number, f"e{number}", kind)) for number, kind in enumerate(Kind)]
    with writing(tmp_path) as writer:
        tally = writer.apply(records)
        assert (tally.records, tally.feedback, tally.impressions) == (5, 4, 1)
        assert open_reader(tmp_path).read("u").rows["kind"].tolist() == [0, 1, 2, 3]


def test_an_event_older_than_the_hundred_newest_is_left_out_and_counted(tmp_path: Path) -> None:
    topic = Topic()
    for number in range(100):
        topic.add(event("u", BEGIN_MS + 10 * number, f"e{number}"))
    topic.add(event("u", BEGIN_MS - 1, "too late"))
    topic.add(event("u", BEGIN_MS + 15, "late"))
    topic.add(event("u", BEGIN_MS + 20, "e2"))
    with writing(tmp_path) as writer:
        tally = writer.apply(topic.records)
        state = open_reader(tmp_path).read("u")
    assert (tally.too_late, tally.late, tally.duplicates) == (1, 1, 1)
    assert state.offset == len(topic.records)
    assert state.rows["ts_ms"].tolist()[:3] == [BEGIN_MS + 10, BEGIN_MS + 15, BEGIN_MS + 20]


def test_a_viewer_begins_again_when_the_topic_has_more_partitions(tmp_path: Path) -> None:
    before, after = Topic(PARTITIONS), Topic(PARTITIONS + 2)
    users = [f"u{number}" for number in range(40)]
    for user in users:
        before.add(event(user, BEGIN_MS, "old"))
        after.add(event(user, BEGIN_MS + 1, "new"), BEGIN_MS)
    stays = [
        user
        for user, old, new in zip(users, before.records, after.records, strict=True)
        if old.partition == new.partition
    ]
    shifted = [one._replace(offset=one.offset + 100) for one in after.records]
    with writing(tmp_path) as writer:
        writer.apply(before.records)
        writer.partitions = PARTITIONS + 2
        tally = writer.apply(shifted)
        reader = open_reader(tmp_path)
        states = {user: reader.read(user) for user in users}
    assert 0 < len(stays) < 40
    assert tally.moved == 40 - len(stays)
    assert not tally.rejected
    for user, record in zip(users, shifted, strict=True):
        state = states[user]
        assert len(state.rows) == (2 if user in stays else 1)
        assert (state.partition, state.offset) == (record.partition, record.offset + 1)
        assert user in stays or state.since == record.offset


def test_a_record_in_a_partition_that_is_not_its_keys_is_rejected(tmp_path: Path) -> None:
    topic = Topic()
    right = topic.add(event("u", BEGIN_MS, "right"))
    assert right.value is not None
    wrong = topic.add_raw(b"u", right.value.replace(b"right", b"wrong"), partition=(right.partition + 1) % PARTITIONS)
    with writing(tmp_path) as writer:
        tally = writer.apply(topic.records)
        assert len(open_reader(tmp_path).read("u").rows) == 1
        assert writer.offsets() == {right.partition: 1, wrong.partition: 1}
    ((record, reason),) = tally.rejected
    assert record == wrong
    assert f"belongs in {right.partition}" in reason


def test_many_late_viewers_at_once_are_applied_in_several_changes(tmp_path: Path) -> None:
    topic = Topic(1)
    for user in range(400):
        for number in range(100):
            topic.add(event(f"u{user}", BEGIN_MS + 10 * number, f"{user}-{number}"))
    for user in range(400):
        topic.add(event(f"u{user}", BEGIN_MS + 505, f"{user}-late"), BEGIN_MS)
    with writing(tmp_path, partitions=1) as writer:
        assert writer.apply(topic.records).late == 400
        reader = open_reader(tmp_path)
        for user in (0, 199, 399):
            rows = reader.read(f"u{user}").rows
            assert len(rows) == 100
            assert rows["ts_ms"][50] == BEGIN_MS + 505
            assert (np.diff(rows["ts_ms"]) > 0).all()
