"""What became of the records that a store was given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields

from inference.state.timeline import Place
from wire.kafka import Record

Bury = Callable[[Sequence[tuple[Record, str]]], None]
"""Puts records that cannot be used where somebody finds them, with the reason."""


def ignore(rejected: Sequence[tuple[Record, str]]) -> None:
    """Bury nothing."""


@dataclass
class Tally:
    """Counts of records.

    `late` went in before a newer event, `too_late` were older than 100 newer ones, `seen` were applied before a
    restart, `moved` began a history again because their viewer has another partition now.
    `last` is each partition's last record.
    """

    records: int = 0
    feedback: int = 0
    impressions: int = 0
    late: int = 0
    too_late: int = 0
    duplicates: int = 0
    seen: int = 0
    moved: int = 0
    rejected: list[tuple[Record, str]] = field(default_factory=list)
    last: dict[int, Record] = field(default_factory=dict)

    def count(self, place: Place) -> None:
        """Note where an event went that was not simply the newest."""
        if place is Place.MIDDLE:
            self.late += 1
        elif place is Place.NOWHERE:
            self.too_late += 1
        elif place is Place.TWICE:
            self.duplicates += 1

    def __iadd__(self, other: Tally) -> Tally:
        for one in fields(self):
            mine, others = getattr(self, one.name), getattr(other, one.name)
            setattr(self, one.name, mine | others if one.name == "last" else mine + others)
        return self
