"""Progress of long work inside a step: items done, of how many."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from components.journal import current

EVERY_S = 0.2
"""A line at most this often on a laptop; without a run folder every ten seconds."""
EVERY_LOGGED_S = 10.0

T = TypeVar("T")


class Bar:
    """Counts items and tells the journal now and then."""

    def __init__(self, label: str, total: int, unit: str) -> None:
        self.label, self.total, self.unit, self.done = label, total, unit, 0
        self._journal = current()
        self._every = EVERY_S if self._journal.path else EVERY_LOGGED_S
        self._told = 0.0

    def advance(self, count: int = 1) -> None:
        """`count` more items are done."""
        self.set(self.done + count)

    def set(self, done: int) -> None:
        """`done` items are done in all."""
        self.done = done
        if time.monotonic() - self._told >= self._every:
            self.tell()

    def tell(self) -> None:
        self._told = time.monotonic()
        self._journal.progressed(self.label, self.done, self.total, self.unit)


@contextmanager
def progress(label: str, total: int, unit: str = "items") -> Iterator[Bar]:
    """A bar of `total` items, told at its start and its end too."""
    bar = Bar(label, total, unit)
    bar.tell()
    yield bar
    bar.tell()


def track(items: Iterable[T], label: str, total: int, unit: str = "items") -> Iterator[T]:
    """Pass items through, counting each once it was worked on."""
    with progress(label, total, unit) as bar:
        for item in items:
            yield item
            bar.advance()


def reporter(label: str, unit: str) -> Callable[[int, int], None]:
    """The callback that functions of `interest` take: (done, total)."""
    bars: list[Bar] = []

    def report(done: int, total: int) -> None:
        if not bars:
            bars.append(Bar(label, total, unit))
        bars[0].set(done)
        if done == total:
            bars[0].tell()

    return report
