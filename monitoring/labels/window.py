"""The join of one partition: exposures and events in, requests whose window is closed out; no I/O, no clock.

Time is that of records. A request that was logged at t takes what its viewer did from t - slack to t + window and is
closed once the watermark, before which nothing more is to come, has reached t + window. So every label has the same
age, whatever the order and pace in which records are read.
"""

from __future__ import annotations

import heapq
from collections import deque

from monitoring.labels.intake import Act, Asked
from monitoring.labels.request import MOST_EVENTS, Counts, Request


class Join:
    """One partition of both topics; `watermark_ms` is what has been closed already, also by a process before.

    `digests` are the models of all requests that were opened.
    """

    def __init__(self, window_ms: int, slack_ms: int, watermark_ms: int = 0) -> None:
        self.watermark_ms = watermark_ms
        self._window_ms, self._slack_ms = window_ms, slack_ms
        self._open: dict[str, Request] = {}
        self._closing: list[tuple[int, str]] = []
        self._closed: dict[str, tuple[int, int]] = {}
        self._forgetting: list[tuple[int, str]] = []
        self._repeated: dict[str, int] = {}
        self._early: dict[str, list[tuple[Act, int, int]]] = {}
        self._early_times: deque[tuple[int, str]] = deque()
        self.digests: set[str] = set()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def early(self) -> int:
        """Requests whose events came before them."""
        return len(self._early)

    def expose(self, asked: Asked, logged_ms: int, offset: int, counts: Counts) -> bool:
        """Take an exposure; whether it is a new one."""
        request_id, close_ms = asked.request_id, logged_ms + self._window_ms
        request = self._open.get(request_id)
        if request is not None:
            counts.duplicate_exposures += 1
            request.again_ms = max(request.again_ms, close_ms)
            return False
        if request_id in self._closed:
            counts.duplicate_exposures += 1
            first = self._closed[request_id][1]
            self._keep(request_id, close_ms, first)
            if close_ms > self.watermark_ms:
                self._repeated[request_id] = first
            return False
        if close_ms <= self.watermark_ms:
            counts.late_exposures += 1
            self._keep(request_id, close_ms + self._window_ms, offset)
            return True
        self.digests.add(asked.model_digest)
        request = self._open[request_id] = Request(asked, logged_ms, offset)
        heapq.heappush(self._closing, (close_ms, request_id))
        if request_id in self._early:
            for act, ms, event_offset in self._early.pop(request_id):
                self._meet(request, act, ms, event_offset, counts)
        return True

    def act(self, act: Act, ms: int, offset: int, counts: Counts) -> None:
        """Take an event."""
        request = self._open.get(act.request_id)
        if request is not None:
            self._meet(request, act, ms, offset, counts)
        elif act.request_id in self._closed:
            counts.late_events += 1
        elif not act.request_id:
            counts.orphaned_events += 1
        else:
            self._wait(act, ms, offset, counts)

    def close(self, watermark_ms: int, counts: Counts, counted_from: int = 0) -> list[Request]:
        """The requests that close by the watermark, up to which this process has read.

        Events without exposure count when their offset is `counted_from` or higher.
        """
        self.watermark_ms = max(self.watermark_ms, watermark_ms)
        done = []
        while self._closing and self._closing[0][0] <= watermark_ms:
            close_ms, request_id = heapq.heappop(self._closing)
            request = self._open.pop(request_id)
            done.append(request)
            self._keep(request_id, max(close_ms + self._window_ms, request.again_ms), request.offset)
            if request.again_ms > watermark_ms:
                self._repeated[request_id] = request.offset
        self._forget(watermark_ms)
        self._give_up(watermark_ms, counts, counted_from)
        return done

    def replay(self, exposures: int, events: int) -> tuple[int, int]:
        """The offsets to read again from so that all that is open comes back; at most those that come next."""
        requests = self._open.values()
        first = min((one.offset for one in requests), default=exposures)
        first_event = min((one.first_event for one in requests), default=events)
        waiting = min((one[2] for many in self._early.values() for one in many), default=events)
        repeated = min(self._repeated.values(), default=exposures)
        return min(first, repeated, exposures), min(first_event, waiting, events)

    def _meet(self, request: Request, act: Act, ms: int, offset: int, counts: Counts) -> None:
        age_ms = ms - request.logged_ms
        if act.user_id != request.asked.user_id or age_ms < -self._slack_ms:
            counts.orphaned_events += 1
        elif age_ms > self._window_ms:
            counts.late_events += 1
        else:
            request.take(act, offset, counts)

    def _wait(self, act: Act, ms: int, offset: int, counts: Counts) -> None:
        """Keep an event whose exposure is not there yet."""
        waiting = self._early.setdefault(act.request_id, [])
        if len(waiting) >= MOST_EVENTS:
            counts.excess_events += 1
            return
        waiting.append((act, ms, offset))
        self._early_times.append((ms, act.request_id))

    def _keep(self, request_id: str, until_ms: int, offset: int) -> None:
        """Remember that a request is closed, so that what comes late or again is known as such."""
        if request_id not in self._closed or until_ms > self._closed[request_id][0]:
            self._closed[request_id] = until_ms, offset
            heapq.heappush(self._forgetting, (until_ms, request_id))

    def _forget(self, watermark_ms: int) -> None:
        while self._forgetting and self._forgetting[0][0] <= watermark_ms:
            until_ms, request_id = heapq.heappop(self._forgetting)
            if request_id in self._closed and self._closed[request_id][0] == until_ms:
                del self._closed[request_id]
                self._repeated.pop(request_id, None)

    def _give_up(self, watermark_ms: int, counts: Counts, counted_from: int) -> None:
        """Let go of events whose exposure would have come by now."""
        times, latest_ms = self._early_times, watermark_ms - self._slack_ms
        while times and times[0][0] <= latest_ms:
            _, request_id = times.popleft()
            waiting = self._early.get(request_id)
            if waiting is None:
                continue
            _, _, offset = waiting.pop(0)
            counts.orphaned_events += offset >= counted_from
            if not waiting:
                del self._early[request_id]
