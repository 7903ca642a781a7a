"""Makes topics and counts their partitions (kafka-python)."""

from __future__ import annotations

from collections.abc import Iterable

import kafka.errors
from kafka.admin import KafkaAdminClient

from wire.kafka import limits
from wire.kafka.python_client import connected, named
from wire.kafka.refusal import Refusal
from wire.kafka.settings import KafkaSettings
from wire.kafka.topics import Topic

CREATE_MS = 15_000
TANSU = "tansu"
"""What the embedded broker's cluster id begins with; Kafka's own are 22 random characters."""


class Admin:
    """The few things to ask of a cluster; raises KafkaUnavailable, KafkaDenied or KafkaUnset within about 10 s."""

    def __init__(self, settings: KafkaSettings, connect_s: float = limits.CONNECT_S) -> None:
        self._settings = settings
        self._client = connected(KafkaAdminClient, settings, Refusal(), connect_s)

    def create(self, topics: Iterable[Topic]) -> None:
        """Make the topics that are not there yet and wait for them; those that are stay as they are.

        Raises KafkaDenied; not when all are there, since few may make topics.
        """
        there = self.topics()
        wanted = {
            topic.name: {"num_partitions": topic.partitions, "replication_factor": -1, "configs": dict(topic.config)}
            for topic in topics
            if topic.name not in there
        }
        if not wanted:
            return
        try:
            answers = self._client.create_topics(wanted, timeout_ms=CREATE_MS, raise_errors=False)
        except kafka.errors.KafkaError as error:
            raise named(self._settings, ", ".join(wanted), error) from error
        for answer in answers["topics"]:
            failure = kafka.errors.for_code(answer["error_code"])
            if failure not in {kafka.errors.NoError, kafka.errors.TopicAlreadyExistsError}:
                raise named(self._settings, answer["name"], failure(answer["error_message"] or ""))
        try:
            self._client.wait_for_topics(list(wanted), timeout_ms=CREATE_MS)
        except kafka.errors.KafkaTimeoutError as error:
            raise named(self._settings, ", ".join(wanted), error) from error

    def topics(self) -> list[str]:
        """The names of the topics that the user may see, in order."""
        try:
            return sorted(self._client.list_topics())
        except kafka.errors.KafkaError as error:
            raise named(self._settings, "*", error) from error

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has; raises UnknownTopic, KafkaDenied."""
        try:
            (found,) = self._client.describe_topics([topic])
        except kafka.errors.KafkaError as error:
            raise named(self._settings, topic, error) from error
        if found["error_code"]:
            raise named(self._settings, topic, kafka.errors.for_code(found["error_code"])())
        return len(found["partitions"])

    def idempotent(self) -> bool:
        """Whether the brokers can tell a record that comes again from a new one.

        Tansu 0.6 takes note of a record's number before it stores the record: killed in between, it acknowledges
        the second attempt without storing anything. After that it answers ProducerFenced for good.
        """
        return not str(self._client.describe_cluster()["cluster_id"]).startswith(TANSU)

    def close(self) -> None:
        """End the client."""
        self._client.close()
