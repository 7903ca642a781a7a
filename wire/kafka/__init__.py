"""The stream: records to and from Kafka topics through either of two clients, with offsets kept by the reader.

No consumer groups and no automatic commits: a reader names where it starts and keeps its own positions,
so that they can be stored together with what was made of the records.
"""

from wire.kafka.admin import Admin
from wire.kafka.clients import consumer, producer
from wire.kafka.dead_letters import dead_letter
from wire.kafka.limits import MAX_RECORD_BYTES
from wire.kafka.records import EARLIEST, UNKNOWN_LAG, Consumer, Producer, Record
from wire.kafka.settings import Client, KafkaSettings
from wire.kafka.topics import (
    ALL,
    ARMS,
    CONTENT,
    EVENTS,
    EVENTS_DEAD,
    EXPOSURES,
    VIDEOS,
    VIDEOS_DEAD,
    Topic,
    partition_of,
)

__all__ = [
    "ALL",
    "ARMS",
    "CONTENT",
    "EARLIEST",
    "EVENTS",
    "EVENTS_DEAD",
    "EXPOSURES",
    "MAX_RECORD_BYTES",
    "UNKNOWN_LAG",
    "VIDEOS",
    "VIDEOS_DEAD",
    "Admin",
    "Client",
    "Consumer",
    "KafkaSettings",
    "Producer",
    "Record",
    "Topic",
    "consumer",
    "dead_letter",
    "partition_of",
    "producer",
]
