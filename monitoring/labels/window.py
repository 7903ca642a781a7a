"""The join of one partition: exposures and events in, requests out when their window is over. No I/O, no clock.

Time is that of the records in the stream, since viewers' devices have clocks of their own. An event is a label of an
exposure when its record is at most the window later, whatever the order in which the two are read: so which labels
count depends on the records alone, and reading them again gives the same.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterator

import msgspec

from interest.records import Kind
from monitoring.labels.segments import ArmTally

FAR = 1 << 62


class Exposed(msgspec.Struct):
    """What of an exposure is needed before its window closes."""

    request_id: str
    user_id: str
    experiment: str | None
    arm: str
    propensity: float
    model_digest: str
    ts_ms: int
    state_age_ms: int
    baseline: float | None = None
    latency_ms: float = 0.0
    failed: bool = False
    unknown: int = 0


class Act(msgspec.Struct):
    """What of an event is needed."""

    event_id: str
    video_id: str
    request_id: str
    ts_ms: int
    kind: Kind
    watch_ms: int = 0
    position: int = 1
    randomised: bool = False


class Shown:
    """A video of a request and what the viewer did with it; only with an impression it is a row."""

    __slots__ = ("impression", "liked", "position", "randomised", "shared", "shown_ms", "skipped", "watch_ms")

    def __init__(self) -> None:
        self.impression = self.liked = self.shared = self.skipped = self.randomised = False
        self.watch_ms = -1
        self.position = 1
        self.shown_ms = 0

    def take(self, act: Act) -> None:
        """Note one event; the same event again changes nothing."""
        kind = act.kind
        if kind is Kind.IMPRESSION:
            self.impression = True
            self.position, self.randomised, self.shown_ms = act.position, act.randomised, act.ts_ms
        elif kind is Kind.WATCH:
            self.watch_ms = max(self.watch_ms, act.watch_ms)
        elif kind is Kind.LIKE:
            self.liked = True
        elif kind is Kind.SHARE:
            self.shared = True
        else:
            self.skipped = True


class Request:
    """An exposure whose window is open, with what has come of it; `body` is its record, for the scores."""

    __slots__ = ("body", "event_offset", "exposed", "logged_ms", "offset", "seen", "shown")

    def __init__(self, exposed: Exposed, body: bytes, logged_ms: int, offset: int) -> None:
        self.exposed, self.body, self.logged_ms, self.offset = exposed, body, logged_ms, offset
        self.event_offset = FAR
        self.shown: dict[str, Shown] = {}
        self.seen: set[int] = set()

    @property
    def labelled(self) -> bool:
        """Whether anything of it was shown."""
        return any(shown.impression for shown in self.shown.values())


_exposed = msgspec.json.Decoder(Exposed).decode
_act = msgspec.json.Decoder(Act).decode


class Window:
    """One partition's open requests. `closed_ms`: all that closes by then was given out before.

    `counts` says what was late, double or of no use; `tallies` what each arm's requests came to, at once. Records that
    were counted before a restart are read again with `counted` false; while `replaying`, exposures that are known to be
    there may still come, and events wait for them.
    """

    def __init__(self, window_ms: int, slack_ms: int, closed_ms: int = 0) -> None:
        self.window_ms, self.slack_ms, self.closed_ms = window_ms, slack_ms, closed_ms
        self.counts: Counter[str] = Counter()
        self.tallies: dict[str, dict[str, ArmTally]] = {}
        self.replaying = False
        self._open: dict[str, Request] = {}
        self._order: list[tuple[int, int, str]] = []
        self._early: dict[str, list[tuple[int, int, Act]]] = {}
        self._early_order: deque[tuple[int, str]] = deque()
        self._done: dict[str, None] = {}
        self._done_order: deque[tuple[int, str]] = deque()
        self._newest = [0, 0]

    def __len__(self) -> int:
        return len(self._open)

    def exposure(self, ts_ms: int, offset: int, body: bytes | None, *, counted: bool = True) -> None:
        """Take in a record of `exposures`."""
        self._newest[0] = max(self._newest[0], ts_ms)
        try:
            exposed = _exposed(body or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.counts["rejected"] += counted
            return
        name = exposed.request_id
        if name in self._open or (name in self._done and ts_ms + self.window_ms > self.closed_ms):
            self.counts["duplicate_exposures"] += counted
            return
        if counted:
            self.counts["exposures"] += 1
            self._tally(exposed)
        if ts_ms + self.window_ms <= self.closed_ms:
            # Written before a restart, or too late to be written at all.
            self.counts["late_exposures"] += counted
            self._finish(name)
            return
        request = Request(exposed, body or b"", ts_ms, offset)
        self._open[name] = request
        heapq.heappush(self._order, (ts_ms, offset, name))
        for event_ms, event_offset, act in self._early.pop(name, ()):
            self._apply(request, event_ms, event_offset, act, counted=True)

    def event(self, ts_ms: int, offset: int, body: bytes | None, *, counted: bool = True) -> None:
        """Take in a record of `events`."""
        self._newest[1] = max(self._newest[1], ts_ms)
        try:
            act = _act(body or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.counts["rejected"] += counted
            return
        self.counts["events"] += counted
        request = self._open.get(act.request_id)
        if request is not None:
            self._apply(request, ts_ms, offset, act, counted=counted)
        elif act.request_id in self._done:
            self.counts["late_events"] += counted
        elif self.replaying or ts_ms + self.slack_ms > self.closed_ms:
            self._early.setdefault(act.request_id, []).append((ts_ms, offset, act))
            self._early_order.append((ts_ms, act.request_id))
        else:
            self.counts["orphaned_events"] += counted

    def watermark(self, now_ms: int, *, exposures_at_end: bool, events_at_end: bool) -> int:
        """Before which no record is expected any more; `at_end`: all that the brokers have was read just now."""
        at_end = (exposures_at_end, events_at_end)
        reached = [now_ms if end else min(ms, now_ms) for ms, end in zip(self._newest, at_end, strict=True)]
        return max(min(reached) - self.slack_ms, self.closed_ms)

    def close(self, watermark_ms: int) -> Iterator[Request]:
        """Give out, in order, all requests whose window ends by then."""
        self.closed_ms = max(self.closed_ms, watermark_ms)
        while self._order and self._order[0][0] + self.window_ms <= watermark_ms:
            _, _, name = heapq.heappop(self._order)
            request = self._open.pop(name)
            self._finish(name)
            yield request
        while not self.replaying and self._early_order and self._early_order[0][0] + self.slack_ms <= watermark_ms:
            _, name = self._early_order.popleft()
            self.counts["orphaned_events"] += len(self._early.pop(name, ()))
        while self._done_order and self._done_order[0][0] <= watermark_ms:
            self._done.pop(self._done_order.popleft()[1], None)

    def replay(self, read: tuple[int, int]) -> tuple[int, int]:
        """Offsets of exposures and events from which all that is open can be made again; `read` when nothing is."""
        exposures, events = read
        for request in self._open.values():
            exposures = min(exposures, request.offset)
            events = min(events, request.event_offset)
        for held in self._early.values():
            events = min(events, held[0][1])
        return exposures, events

    def _apply(self, request: Request, ts_ms: int, offset: int, act: Act, *, counted: bool) -> None:
        if ts_ms > request.logged_ms + self.window_ms:
            self.counts["late_events"] += counted
            return
        request.event_offset = min(request.event_offset, offset)
        mark = hash(act.event_id)
        if mark in request.seen:
            self.counts["duplicate_events"] += counted
            return
        request.seen.add(mark)
        shown = request.shown.get(act.video_id)
        if shown is None:
            shown = request.shown[act.video_id] = Shown()
        shown.take(act)

    def _finish(self, name: str) -> None:
        """Remember for another window that a request is over: its late events are told from orphans."""
        if name not in self._done:
            self._done[name] = None
            self._done_order.append((self.closed_ms + self.window_ms, name))

    def _tally(self, exposed: Exposed) -> None:
        if exposed.experiment is None:
            return
        tally = self.tallies.setdefault(exposed.experiment, {}).setdefault(exposed.arm, ArmTally())
        tally.requests += 1
        tally.failed += exposed.failed
        tally.first_ms = tally.first_ms or exposed.ts_ms
        tally.last_ms = max(tally.last_ms, exposed.ts_ms)
