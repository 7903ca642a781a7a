"""Whoever follows a topic of one partition is given all of it, over outages and topics made anew."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kafka import KafkaAdminClient

from tests.contract.streams import DEADLINE_S, Stream, put
from tests.waiting import until
from wire.kafka import Admin, Client, KafkaSettings, Record, Topic
from wire.kafka.follower import Follower


@contextmanager
def following(
    settings: KafkaSettings, topic: str, apply: Callable[[list[Record]], None], *, may_be_missing: bool = False
) -> Iterator[Follower]:
    one = Follower(settings, topic, apply, may_be_missing=may_be_missing)
    one.start()
    try:
        yield one
    finally:
        one.close()


def test_what_was_there_comes_before_it_is_level_and_the_rest_as_it_is_sent(stream: Stream) -> None:
    topic, found = stream.topic(1), list[bytes | None]()
    put(stream.settings, Client.CONFLUENT, topic, [(b"", b"%d" % number) for number in range(20)])
    with following(stream.settings, topic, lambda records: found.extend(one.value for one in records)) as follower:
        assert follower.caught_up.wait(DEADLINE_S)
        assert found == [b"%d" % number for number in range(20)]
        put(stream.settings, Client.CONFLUENT, topic, [(b"", b"new")])
        until(lambda: found[20:] == [b"new"], "what is sent now is there")


def test_a_topic_made_anew_is_followed_from_its_beginning(real_kafka: Stream) -> None:
    """On Tansu librdkafka 2.16 dies of the answer about a topic that is gone, and the process is started again."""
    stream = real_kafka
    topic, found = stream.topic(1), list[bytes | None]()
    put(stream.settings, Client.CONFLUENT, topic, [(b"", b"old")] * 3)
    owner = Admin(stream.owner)
    admin = KafkaAdminClient(bootstrap_servers=stream.owner.bootstrap)
    with following(stream.settings, topic, lambda records: found.extend(one.value for one in records)):
        until(lambda: len(found) == 3, "the old ones are there")
        admin.delete_topics([topic])
        until(lambda: topic not in owner.topics(), "the topic is gone")
        owner.create([Topic(topic, 1)])
        put(stream.settings, Client.CONFLUENT, topic, [(b"", b"new")])
        until(lambda: found[3:] == [b"new"], "the new one is there")
    admin.close()
    owner.close()


def test_a_topic_that_may_be_missing_is_waited_for_without_a_word(stream: Stream) -> None:
    topic, found = stream.topic(1), list[bytes | None]()
    owner = Admin(stream.owner)
    later = f"{topic}-later"
    with (
        following(
            stream.settings, later, lambda records: found.extend(one.value for one in records), may_be_missing=True
        ) as follower,
        following(stream.settings, later, lambda _: None) as strict,
    ):
        assert follower.caught_up.wait(DEADLINE_S)
        assert not strict.caught_up.is_set()
        owner.create([Topic(later, 1)])
        put(stream.settings, Client.CONFLUENT, later, [(b"", b"first")])
        until(lambda: found == [b"first"], "it is there")
        assert strict.caught_up.wait(DEADLINE_S)
    owner.close()
