"""Simulated viewers in front of a live feed: they react, one page at a time, to what somebody ranked for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from interest.catalog import Catalog
from interest.records import Event, Kind
from interest.simulator.log import SHARES_EVERY, SKIP_BELOW_MS
from interest.simulator.viewers import Viewers
from interest.simulator.world import VideoLatents


@dataclass(frozen=True)
class Reaction:
    """What one viewer did with a page: its events, in order, and how many of the videos engaged."""

    events: tuple[Event, ...]
    engaged: int


class Audience:
    """Viewers `live-00000`… of a simulated world; deterministic for a seed and the order of the calls."""

    def __init__(self, catalog: Catalog, latents: VideoLatents, viewers: int, seed: int) -> None:
        self.catalog = catalog
        self.users = tuple(f"live-{number:05d}" for number in range(viewers))
        self.viewers = Viewers(viewers, seed, latents)

    def shift(self, **constants: float) -> None:
        """Let the world change: from now on viewers react by other constants of `WorldParams`, such as `bq`."""
        self.viewers.params = replace(self.viewers.params, **constants)  # type: ignore[arg-type]

    def react(self, viewer: int, shown: Sequence[str], now_ms: int, *, request_id: str, randomised: bool) -> Reaction:
        """Let the viewer see the videos `shown`, the first at position 1, from `now_ms` on.

        Watching takes no time here: events follow each other by a millisecond, so that a loop runs faster
        than its viewers would. A session that ends begins anew, with a taste that has drifted. Raises KeyError
        for a video that the catalogue lacks.
        """
        who = np.array([viewer])
        events: list[Event] = []
        engaged = 0
        for place, video_id in enumerate(shown, start=1):
            row = np.array([self.catalog.index[video_id]])
            _, _, yes, watch_ms, liked = self.viewers.act(row, np.array([place]), who)
            kind = self._kind(bool(yes[0]), bool(liked[0]), int(watch_ms[0]), place)
            base = Event(
                event_id=f"{request_id}-{place}-i", user_id=self.users[viewer], video_id=video_id,
                request_id=request_id, ts_ms=now_ms + 2 * place - 2, kind=Kind.IMPRESSION, position=place,
                randomised=randomised,
            )  # fmt: skip
            events += [base, _feedback(base, kind, int(watch_ms[0]))]
            engaged += int(yes[0])
        if self.viewers.leaves(who)[0]:
            everybody = np.zeros(len(self.users), bool)
            everybody[viewer] = True
            self.viewers.begin_session(everybody)
        return Reaction(tuple(events), engaged)

    def _kind(self, engaged: bool, liked: bool, watch_ms: int, place: int) -> Kind:
        if liked:
            return Kind.SHARE if place % SHARES_EVERY == 0 else Kind.LIKE
        return Kind.SKIP if watch_ms < SKIP_BELOW_MS and not engaged else Kind.WATCH


def _feedback(shown: Event, kind: Kind, watch_ms: int) -> Event:
    """The feedback on an impression, a millisecond later."""
    return Event(
        event_id=f"{shown.event_id[:-1]}f", user_id=shown.user_id, video_id=shown.video_id,
        request_id=shown.request_id, ts_ms=shown.ts_ms + 1, kind=kind, watch_ms=watch_ms, position=shown.position,
    )  # fmt: skip
