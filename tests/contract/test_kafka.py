"""What every broker and both clients must do for us: order, places, offsets, lags, dead letters."""

import time

import pytest
from kafka import KafkaAdminClient, TopicPartition

from tests.contract.streams import PARTITIONS, Stream, all_of, put, reading, take, writing
from wire.errors import OffsetGone, RecordTooLarge
from wire.kafka import EARLIEST, UNKNOWN_LAG, Admin, Client, Record, Topic, dead_letter, partition_of

KEYS = [b"", b"u1", b"u2", b"abc", "ü日🎬".encode(), bytes(range(256)), b"k" * 1001]


def other(client: Client) -> Client:
    return Client.CONFLUENT if client is Client.PYTHON else Client.PYTHON


def test_records_come_back_with_all_they_had(stream: Stream, client: Client) -> None:
    topic = stream.topic(1)
    before_ms = int(time.time() * 1000)
    with writing(stream.settings, client) as writer:
        writer.send(topic, b"key", b"value", [("a", b"1"), ("a", b"2"), ("b", b"")])
        writer.flush(30)
        assert (writer.unacknowledged, writer.failed) == (0, 0)
    with reading(stream.settings, {(topic, 0): 0}, client) as reader:
        (record,) = take(reader, 1)
    assert before_ms <= record.ts_ms <= int(time.time() * 1000)
    assert record._replace(ts_ms=0, headers=list(record.headers)) == Record(
        topic, 0, 0, 0, b"key", b"value", [("a", b"1"), ("a", b"2"), ("b", b"")]
    )


def test_records_of_a_partition_keep_their_order(stream: Stream, client: Client) -> None:
    topic = stream.topic()
    sent = [(b"u%d" % (number % 7), b"%d" % number) for number in range(500)]
    put(stream.settings, client, topic, sent)
    with reading(stream.settings, all_of(topic), client) as reader:
        found = take(reader, 500)
    for key in {key for key, _ in sent}:
        assert [one.value for one in found if one.key == key] == [value for sender, value in sent if sender == key]
    for partition in range(PARTITIONS):
        offsets = [one.offset for one in found if one.partition == partition]
        assert offsets == list(range(len(offsets)))


def test_a_key_has_one_partition_whichever_client_sends_it(stream: Stream, client: Client) -> None:
    topic = stream.topic()
    put(stream.settings, client, topic, [(key, b"first") for key in KEYS])
    put(stream.settings, other(client), topic, [(key, b"second") for key in KEYS])
    with reading(stream.settings, all_of(topic), client) as reader:
        found = take(reader, 2 * len(KEYS))
    places = {key: {one.partition for one in found if one.key == key} for key in KEYS}
    assert places == {key: {partition_of(key, PARTITIONS)} for key in KEYS}


def test_an_empty_value_is_not_a_missing_one(stream: Stream, client: Client) -> None:
    topic = stream.topic(1)
    put(stream.settings, client, topic, [(b"a", b""), (b"b", None), (b"", b"c")])
    with reading(stream.settings, {(topic, 0): 0}, other(client)) as reader:
        assert [(one.key, one.value) for one in take(reader, 3)] == [(b"a", b""), (b"b", None), (b"", b"c")]


def test_a_reader_goes_on_from_positions_that_it_kept(stream: Stream, client: Client) -> None:
    topic = stream.topic()
    put(stream.settings, client, topic, [(b"u%d" % (number % 9), b"%d" % number) for number in range(60)])
    with reading(stream.settings, all_of(topic), client) as reader:
        first = take(reader, 1)[:]
        kept = reader.positions()
    assert sum(kept.values()) == len(first)
    with reading(stream.settings, kept, other(client)) as reader:
        rest = take(reader, 60 - len(first))
        assert sum(reader.positions().values()) == 60
    assert {int(one.value or b"") for one in first + rest} == set(range(60))
    assert len(first) + len(rest) == 60


def test_a_poll_gives_no_more_than_asked_for_and_goes_on_there(stream: Stream, client: Client) -> None:
    topic = stream.topic(1)
    put(stream.settings, client, topic, [(b"k", b"%d" % number) for number in range(10)])
    with reading(stream.settings, {(topic, 0): 2}, client) as reader:
        found: list[int] = []
        while len(found) < 8:
            some = reader.poll(3, 5.0)
            assert 1 <= len(some) <= 3
            found += [one.offset for one in some]
            assert reader.positions() == {(topic, 0): found[-1] + 1}
    assert found == list(range(2, 10))


def test_a_poll_returns_at_once_with_what_is_there(stream: Stream, client: Client) -> None:
    topic = stream.topic(1)
    with reading(stream.settings, {(topic, 0): 0}, client) as reader:
        began = time.monotonic()
        assert reader.poll(1000, 0.2) == []
        assert time.monotonic() - began < 30
        put(stream.settings, client, topic, [(b"k", b"v")])
        began = time.monotonic()
        assert len(reader.poll(1000, 20.0)) == 1
        assert time.monotonic() - began < 30


def test_lag_is_what_is_left_to_read(stream: Stream, client: Client) -> None:
    topic = stream.topic(2)
    one, two = [next(b"%d" % n for n in range(99) if partition_of(b"%d" % n, 2) == place) for place in (0, 1)]
    put(stream.settings, client, topic, [(one, b"")] * 10)
    with reading(stream.settings, {(topic, 0): 0, (topic, 1): 0}, client) as reader:
        assert set(reader.lags().values()) <= {UNKNOWN_LAG, 10, 0}
        assert len(take(reader, 10)) == 10
        while reader.lags() != {(topic, 0): 0, (topic, 1): 0}:
            assert reader.poll(1, 1.0) == []
        put(stream.settings, client, topic, [(two, b"")] * 5)
        assert len(reader.poll(2, 10.0)) in {1, 2}
        read = reader.positions()[topic, 1]
        assert reader.lags() == {(topic, 0): 0, (topic, 1): 5 - read}


def test_a_seek_reads_again(stream: Stream, client: Client) -> None:
    topic = stream.topic(1)
    put(stream.settings, client, topic, [(b"k", b"%d" % number) for number in range(5)])
    with reading(stream.settings, {(topic, 0): EARLIEST}, client) as reader:
        assert [one.offset for one in take(reader, 5)] == [0, 1, 2, 3, 4]
        reader.seek(topic, 0, 3)
        assert reader.positions() == {(topic, 0): 3}
        assert [one.offset for one in take(reader, 2)] == [3, 4]
        reader.seek(topic, 0, EARLIEST)
        assert reader.positions() == {(topic, 0): 0}
        assert [one.offset for one in take(reader, 5)] == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_an_offset_past_the_end_is_gone(stream: Stream, client: Client) -> None:
    topic = stream.topic(1)
    put(stream.settings, client, topic, [(b"k", b"v")] * 3)
    with (
        reading(stream.settings, {(topic, 0): 7}, client) as reader,
        pytest.raises(OffsetGone, match="offset 7") as gone,
    ):
        take(reader, 1)
    assert (gone.value.topic, gone.value.partition) == (topic, 0)


@pytest.mark.slow
def test_each_partition_whose_offset_is_gone_is_named(stream: Stream, client: Client) -> None:
    topic = stream.topic(3)
    keys = [next(b"%d" % n for n in range(99) if partition_of(b"%d" % n, 3) == place) for place in range(3)]
    put(stream.settings, client, topic, [(key, b"v") for key in keys])
    gone, found = set(), []
    with reading(stream.settings, {(topic, 0): 9, (topic, 1): 0, (topic, 2): 9}, client) as reader:
        give_up_at = time.monotonic() + 30
        while (len(gone) < 2 or len(found) < 3) and time.monotonic() < give_up_at:
            try:
                found += reader.poll(10, 1.0)
            except OffsetGone as error:
                gone.add(error.partition)
                reader.seek(topic, error.partition, EARLIEST)
    assert gone == {0, 2}
    assert {one.partition for one in found} == {0, 1, 2}


def test_an_offset_that_retention_deleted_is_gone_until_a_seek(real_kafka: Stream, client: Client) -> None:
    topic = real_kafka.topic(1)
    put(real_kafka.settings, client, topic, [(b"k", b"%d" % number) for number in range(10)])
    admin = KafkaAdminClient(bootstrap_servers=real_kafka.owner.bootstrap)
    admin.delete_records({TopicPartition(topic, 0): 6})
    admin.close()
    with reading(real_kafka.settings, {(topic, 0): 2}, client) as reader:
        with pytest.raises(OffsetGone, match=f"offset 2 of partition 0 of topic '{topic}'"):
            take(reader, 1)
        reader.seek(topic, 0, EARLIEST)
        assert [one.value for one in take(reader, 4)] == [b"6", b"7", b"8", b"9"]


def test_a_record_at_the_limit_passes_and_one_over_it_is_refused(stream: Stream, client: Client) -> None:
    topic = stream.topic(1)
    with writing(stream.settings, client) as writer:
        writer.send(topic, b"key", b"v" * 999_997)
        with pytest.raises(RecordTooLarge, match=f"1000001 bytes for topic '{topic}'"):
            writer.send(topic, b"key", b"v" * 999_990, [("name", b"four")])
        writer.flush(30)
    with reading(stream.settings, {(topic, 0): 0}, client) as reader:
        assert [len(one.value or b"") for one in take(reader, 1)] == [999_997]


def test_a_dead_letter_says_why_and_where_it_was(stream: Stream, client: Client) -> None:
    topic = stream.topic(1)
    admin = Admin(stream.owner)
    admin.create([Topic(f"{topic}.dead", 1)])
    admin.close()
    bad = Record(topic, 3, 17, 1_700_000_000_123, b"u1", b"\xff{", [("trace", b"7")])
    with writing(stream.settings, client) as writer:
        dead_letter(writer, bad, "not JSON: ü")
        writer.flush(30)
    with reading(stream.settings, {(f"{topic}.dead", 0): 0}, client) as reader:
        (letter,) = take(reader, 1)
    assert (letter.key, letter.value) == (b"u1", b"\xff{")
    assert list(letter.headers) == [
        ("trace", b"7"),
        ("reason", "not JSON: ü".encode()),
        ("topic", topic.encode()),
        ("partition", b"3"),
        ("offset", b"17"),
        ("ts_ms", b"1700000000123"),
    ]


def test_a_topic_is_made_once(stream: Stream) -> None:
    topic = stream.topic(3)
    admin = Admin(stream.settings)
    admin.create([Topic(topic, 5), Topic(f"{topic}.compact", 2, {"cleanup.policy": "compact"})])
    assert (admin.partitions(topic), admin.partitions(f"{topic}.compact")) == (3, 2)
    assert {topic, f"{topic}.compact"} <= set(admin.topics())
    admin.close()
