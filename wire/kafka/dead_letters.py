"""Where records go that cannot be used, with the reason; nothing is dropped silently."""

from __future__ import annotations

from wire.kafka.records import Producer, Record

SUFFIX = ".dead"
LONGEST_REASON = 2000


def dead_letter(producer: Producer, record: Record, reason: str) -> None:
    """Send `record` to `<topic>.dead`: same key and value, where it was and the reason as headers.

    The record's own headers stay, before ours. Flush the producer before the record's offset is stored.
    """
    ours = {
        "reason": reason[:LONGEST_REASON],
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "ts_ms": str(record.ts_ms),
    }
    headers = [*record.headers, *((name, text.encode()) for name, text in ours.items())]
    producer.send(record.topic + SUFFIX, record.key or b"", record.value, headers)
