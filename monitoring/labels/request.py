"""An exposure whose window is open, and what its viewer has done about each video; and the counts of what was read."""

from __future__ import annotations

import sys
from array import array

import msgspec

from interest.history import KIND_CODES
from interest.records import Kind
from monitoring.labels.intake import Act, Asked

IMPRESSION, WATCHED, LIKED, SHARED, SKIPPED = 1, 2, 4, 8, 16
BITS = {
    Kind.IMPRESSION: IMPRESSION,
    Kind.WATCH: WATCHED,
    Kind.LIKE: LIKED,
    Kind.SHARE: SHARED,
    Kind.SKIP: SKIPPED,
}
MOST_EVENTS = 1000
"""More on one request than people do; the rest has no effect, so that one caller cannot fill the memory."""
LARGEST_WATCH_MS, LARGEST_POSITION = 2**40, 2**31 - 1
NEVER = 2**62


class Counts(msgspec.Struct):
    """What was read and what came of it, by number."""

    exposures: int = 0
    events: int = 0
    rows: int = 0
    labelled_requests: int = 0
    missing_requests: int = 0
    late_events: int = 0
    late_exposures: int = 0
    orphaned_events: int = 0
    excess_events: int = 0
    duplicate_events: int = 0
    duplicate_exposures: int = 0
    without_impression: int = 0
    foreign_videos: int = 0
    unknown_durations: int = 0
    rejected: int = 0
    clamped: int = 0
    offsets_gone: int = 0


class Shown:
    """What happened to one video of a request: `seen` is the union of BITS, `watch_ms` the longest watch.

    `feedback` has four numbers for each thing done: time, code of its kind, watch_ms, position.
    """

    __slots__ = ("feedback", "position", "randomised", "seen", "shown_ms", "watch_ms")

    def __init__(self) -> None:
        self.feedback = array("q")
        self.seen = self.position = self.shown_ms = self.watch_ms = 0
        self.randomised = False


class Request:
    """An exposure and what is known of its outcome.

    `again_ms` is when the last repetition of it would close, 0 without any; `first_event` the lowest offset of what it
    took, `ids` the hashes of the events' ids. `positions` has one number where all are the same, as they mostly are.
    """

    __slots__ = ("again_ms", "asked", "candidates", "first_event", "ids", "logged_ms", "offset", "positions",
                 "scores", "shown")  # fmt: skip

    def __init__(self, asked: Asked, logged_ms: int, offset: int) -> None:
        self.candidates = tuple(map(sys.intern, asked.candidates))
        self.scores = array("f", asked.scores)
        several = len(set(asked.positions)) > 1
        self.positions = array("i", asked.positions if several else asked.positions[:1])
        asked.candidates = asked.scores = asked.positions = ()
        asked.model_digest, asked.arm = sys.intern(asked.model_digest), sys.intern(asked.arm)
        self.asked, self.logged_ms, self.offset = asked, logged_ms, offset
        self.again_ms = 0
        self.first_event = NEVER
        self.ids = array("q")
        self.shown: dict[str, Shown] = {}

    def take(self, act: Act, offset: int, counts: Counts) -> None:
        """Note an event that is in time."""
        ids, number = self.ids, hash(act.event_id)
        if number in ids:
            counts.duplicate_events += 1
            return
        if len(ids) >= MOST_EVENTS:
            counts.excess_events += 1
            return
        ids.append(number)
        if offset < self.first_event:
            self.first_event = offset
        shown = self.shown.get(act.video_id)
        if shown is None:
            shown = self.shown[sys.intern(act.video_id)] = Shown()
        kind = act.kind
        if kind is Kind.IMPRESSION:
            if not shown.seen & IMPRESSION:
                shown.position = min(max(act.position, 1), LARGEST_POSITION)
                shown.randomised, shown.shown_ms = act.randomised, act.ts_ms
        else:
            watch_ms = max(min(act.watch_ms, LARGEST_WATCH_MS), 0)
            position = min(max(act.position, 1), LARGEST_POSITION)
            shown.feedback.extend((act.ts_ms, KIND_CODES[kind], watch_ms, position))
            if kind is Kind.WATCH and watch_ms > shown.watch_ms:
                shown.watch_ms = watch_ms
        shown.seen |= BITS[kind]
