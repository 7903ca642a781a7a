"""Rapt's topics, and which partition a key belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

EVENTS = "events"
EVENTS_DEAD = "events.dead"
EXPOSURES = "exposures"
VIDEOS = "videos"
VIDEOS_DEAD = "videos.dead"
CONTENT = "content"
ARMS = "arms"


@dataclass(frozen=True)
class Topic:
    """A topic to have: `config` holds Kafka's topic settings."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)


ALL = (
    Topic(EVENTS, 8),
    Topic(EVENTS_DEAD, 1),
    Topic(EXPOSURES, 8),
    Topic(VIDEOS, 1),
    Topic(VIDEOS_DEAD, 1),
    Topic(CONTENT, 1, {"cleanup.policy": "compact"}),
    Topic(ARMS, 1, {"cleanup.policy": "compact"}),
)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition in which every Kafka client puts `key`: murmur2 (seed 0x9747b28c), sign cut off, modulo."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(data: bytes) -> int:
    """MurmurHash2 (Austin Appleby) with the seed and mixing of Kafka's Java client."""
    mask, multiplier = 0xFFFFFFFF, 0x5BD1E995
    hashed = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * multiplier & mask
        word = (word ^ word >> 24) * multiplier & mask
        hashed = (hashed * multiplier & mask) ^ word
    if whole < len(data):
        hashed = (hashed ^ int.from_bytes(data[whole:], "little")) * multiplier & mask
    hashed = (hashed ^ hashed >> 13) * multiplier & mask
    return hashed ^ hashed >> 15
