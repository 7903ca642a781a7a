"""Viewers' events into the stream: checked as the feeder would check them, then sent, then acknowledged."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import msgspec

from inference.state.intake import take_in
from interest.records import Event
from rapt.errors import InvalidEvents
from wire.errors import BufferFull
from wire.kafka import EVENTS, Producer, Record

FLUSH_S = 30.0
NAMED = 10
"""Bad lines that a message names; the others are counted."""


def read_events(lines: Iterable[bytes]) -> list[Event]:
    """One event a line (JSON), blank lines apart; raises InvalidEvents naming each bad line by number, from 1."""
    found: dict[int, Event] = {}
    wrong: dict[int, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found[number] = msgspec.json.decode(line, type=Event)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            wrong[number] = str(error)
    wrong |= _wrong(found)
    if wrong:
        named = "; ".join(f"line {number}: {reason}" for number, reason in sorted(wrong.items())[:NAMED])
        more = f"; and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise InvalidEvents(
            f"{len(wrong)} of {len(found | wrong)} lines are no events, nothing was sent: {named}{more}"
        )
    return list(found.values())


def checked(event: Event) -> Event:
    """The event itself; raises InvalidEvents with the reason why the feeder would not take it."""
    for reason in _wrong({1: event}).values():
        raise InvalidEvents(f"this is no event, nothing was sent: {reason}")
    return event


def send(producer: Producer, events: Sequence[Event]) -> int:
    """Send events and return how many were acknowledged: all; raises DeliveryFailed and what `send` raises."""
    for event in events:
        key, value = event.user_id.encode(), msgspec.json.encode(event)
        try:
            producer.send(EVENTS, key, value)
        except BufferFull:
            producer.flush(FLUSH_S)
            producer.send(EVENTS, key, value)
    producer.flush(FLUSH_S)
    return len(events)


def _wrong(events: dict[int, Event]) -> dict[int, str]:
    """Reasons by number, as the feeder gives them; the number takes the place of the record's offset."""
    now_ms = time.time_ns() // 1_000_000
    records = [
        Record(EVENTS, 0, number, now_ms, event.user_id.encode(), msgspec.json.encode(event))
        for number, event in events.items()
    ]
    wrong = {record.offset: reason for record, reason in take_in(records).rejected}
    for number, event in events.items():  # the feeder bends these, but whoever sends them means something else
        if event.watch_ms < 0:
            wrong.setdefault(number, f"watch_ms {event.watch_ms} is negative")
        elif event.position < 1:
            wrong.setdefault(number, f"position {event.position} is below 1")
    return wrong
