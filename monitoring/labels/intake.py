"""Turns records of `exposures` and `events` into the few fields that labels need, and tells which are unfit and why.

All records of a batch are decoded at once; when one of them does not fit, each is looked at by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from interest.records import Kind
from wire.kafka import Record

LARGEST_SKEW_MS = 300_000
"""An event may be so far ahead of its record's time, as in the viewers' histories."""
LARGEST = 2**53

Id = Annotated[str, Meta(min_length=1, max_length=512)]
Name = Annotated[str, Meta(max_length=512)]
Moment = Annotated[int, Meta(ge=0, le=LARGEST)]


class Act(msgspec.Struct, gc=False):
    """What is needed of an `Event`."""

    event_id: Id
    user_id: Id
    video_id: Id
    request_id: Name
    ts_ms: Moment
    kind: Kind
    watch_ms: int = 0
    position: int = 1
    randomised: bool = False


class Asked(msgspec.Struct, gc=False):
    """What is needed of an `Exposure`; `candidates`, `scores` and `positions` are of equal length."""

    request_id: Id
    user_id: Id
    experiment: Name | None
    arm: Name
    propensity: Annotated[float, Meta(ge=0, le=1)]
    model_digest: Name
    candidates: tuple[str, ...]
    scores: tuple[float, ...]
    positions: tuple[Annotated[int, Meta(ge=1, le=2**31 - 1)], ...]
    state_age_ms: Annotated[int, Meta(ge=-LARGEST, le=LARGEST)]
    ts_ms: Moment
    baseline: float | None = None
    latency_ms: Annotated[float, Meta(ge=0, le=1e9)] = 0.0
    failed: bool = False
    unknown: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0


Value = TypeVar("Value", Act, Asked)
Rejected = list[tuple[Record, str]]

_act = msgspec.json.Decoder(Act).decode
_asked = msgspec.json.Decoder(Asked).decode
_key, _value = itemgetter(4), itemgetter(5)


def acts(records: Sequence[Record]) -> tuple[list[tuple[Record, Act]], Rejected]:
    """The events in the records, each with its record, and the records that hold none."""
    return _taken(records, _act, _act_fault)


def asked(records: Sequence[Record]) -> tuple[list[tuple[Record, Asked]], Rejected]:
    """The exposures in the records, each with its record, and the records that hold none."""
    return _taken(records, _asked, _asked_fault)


def _taken(
    records: Sequence[Record], decode: Callable[[bytes], Value], fault: Callable[[Record, Value], str]
) -> tuple[list[tuple[Record, Value]], Rejected]:
    try:
        values = list(map(decode, map(_value, records)))
        keys = [value.user_id.encode() for value in values]
    except (msgspec.DecodeError, TypeError):
        return _one_by_one(records, decode, fault)
    if keys != list(map(_key, records)) or any(map(fault, records, values)):
        return _one_by_one(records, decode, fault)
    return list(zip(records, values, strict=True)), []


def _one_by_one(
    records: Sequence[Record], decode: Callable[[bytes], Value], fault: Callable[[Record, Value], str]
) -> tuple[list[tuple[Record, Value]], Rejected]:
    kept: list[tuple[Record, Value]] = []
    rejected: Rejected = []
    for record in records:
        if record.value is None:
            rejected.append((record, "no value"))
            continue
        try:
            value = decode(record.value)
            reason = fault(record, value)
            if not reason and value.user_id.encode() != record.key:
                reason = f"the record's key {record.key!r} is not the user_id {value.user_id!r}"
        except msgspec.DecodeError as error:
            reason = str(error)
        if reason:
            rejected.append((record, reason))
        else:
            kept.append((record, value))
    return kept, rejected


def _act_fault(record: Record, act: Act) -> str:
    if act.ts_ms > record.ts_ms + LARGEST_SKEW_MS:
        return f"ts_ms {act.ts_ms} is {(act.ts_ms - record.ts_ms) / 1000:g} s ahead of the record's {record.ts_ms}"
    return ""


def _asked_fault(_: Record, asked: Asked) -> str:
    if len(asked.candidates) != len(asked.positions):
        return f"{len(asked.candidates)} candidates have {len(asked.positions)} positions"
    if len(asked.candidates) != len(asked.scores):
        return f"{len(asked.candidates)} candidates have {len(asked.scores)} scores"
    return ""
