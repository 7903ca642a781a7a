"""Many requests at once: viewers' encodings kept while their history stays, similar requests scored in one pass."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

from interest.history import HISTORY, Feedback, moment, outcomes
from interest.scoring import Scorer, ViewerState
from interest.viewer_rows import Keys, Rows, feedback

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

KEPT_VIEWERS = 256
"""Encodings that are kept; each takes about 26 kB."""
LARGEST_PASS = 4
"""Requests that share a pass at most: with more, what passes from node to node of a graph leaves the core's cache."""
PADDING = 1.25
"""A pass may be this much larger than what was asked for."""


@dataclass(frozen=True)
class Ask:
    """One viewer's history (`ROW` [n], oldest first, earlier than `now_ms`) and N candidates by key."""

    history: Rows
    now_ms: int
    videos: Keys
    position: Ints


@dataclass(frozen=True)
class Answer:
    """`probability` [N]; `known` [N] tells which candidates the model has content of."""

    probability: Floats
    known: NDArray[np.bool_]


@dataclass
class Counts:
    """What the batches did so far."""

    viewers: int = 0
    kept: int = 0
    passes: int = 0


class BatchScorer:
    """Answers batches of requests with one bundle's graphs; for one thread at a time."""

    def __init__(self, scorer: Scorer, kept_viewers: int = KEPT_VIEWERS) -> None:
        self.scorer = scorer
        self.counts = Counts()
        self._kept: OrderedDict[bytes, ViewerState] = OrderedDict()
        self._kept_viewers = kept_viewers

    def answer(self, asks: Sequence[Ask]) -> list[Answer]:
        """An answer to each of `asks`, in order."""
        candidates = [self.scorer.catalogue.rows_of(ask.videos) for ask in asks]
        states = self._states(asks)
        probability: list[Floats] = [np.empty(0, np.float32)] * len(asks)
        for group in groups([len(rows) for rows in candidates]):
            made = self._score(group, asks, states, candidates)
            for place, number in enumerate(group):
                probability[number] = made[place, : len(candidates[number])]
        return [Answer(chance, rows >= 0) for chance, rows in zip(probability, candidates, strict=True)]

    def _states(self, asks: Sequence[Ask]) -> list[ViewerState]:
        """Each viewer's encoding, from those kept where the history is the same."""
        rows_of = self.scorer.catalogue.rows_of
        histories = [feedback(ask.history[-HISTORY:], rows_of) for ask in asks]
        # What a key leads to changes when a video becomes known, so the rows belong to the name.
        names = [
            xxhash.xxh3_128_digest(one.video.tobytes() + ask.history[-HISTORY:].tobytes())
            for one, ask in zip(histories, asks, strict=True)
        ]
        missing = {name: number for number, name in enumerate(names) if name not in self._kept}
        self.counts.viewers += len(asks)
        self.counts.kept += len(asks) - len(missing)
        made: dict[bytes, ViewerState] = {}
        fresh = list(missing.items())
        for group in groups([len(histories[number].video) for _, number in fresh]):
            encoded = self._encode([histories[fresh[place][1]] for place in group])
            made.update((fresh[place][0], state) for place, state in zip(group, encoded, strict=True))
        states = [made[name] if name in made else self._kept[name] for name in names]
        for name, state in zip(names, states, strict=True):
            self._kept[name] = state
            self._kept.move_to_end(name)
        while len(self._kept) > self._kept_viewers:
            self._kept.popitem(last=False)
        return states

    def _encode(self, histories: Sequence[Feedback]) -> list[ViewerState]:
        self.counts.passes += 1
        if len(histories) == 1:
            return [self.scorer.encode(histories[0])]
        lengths = [len(one.video) for one in histories]
        most, count = max(lengths), len(histories)
        video, kind = np.full((count, most), -1), np.zeros((count, most), np.int64)
        outcome = np.zeros((count, most, 4), np.float32)
        duration_s = self.scorer.catalogue.duration_s
        for number, (one, length) in enumerate(zip(histories, lengths, strict=True)):
            video[number, :length], kind[number, :length] = one.video, one.kind
            outcome[number, :length] = outcomes(one, duration_s[one.video])
        state = self.scorer.encode_all(video=video, kind=kind, outcome=outcome, length=np.array(lengths)[:, None])
        return [
            ViewerState(state.last[i : i + 1], state.states[i : i + 1, : n + 1], state.visible[i : i + 1, :, : n + 1])
            for i, n in enumerate(lengths)
        ]

    def _score(
        self, group: Sequence[int], asks: Sequence[Ask], states: Sequence[ViewerState], candidates: Sequence[Ints]
    ) -> Floats:
        self.counts.passes += 1
        now = moment(
            np.array([[_last_ms(asks[number])] for number in group]),
            np.array([[asks[number].now_ms] for number in group]),
        )
        if len(group) == 1:
            number = group[0]
            return self.scorer.probability(states[number], now, candidates[number][None], asks[number].position[None])
        return self.scorer.probability(
            joined([states[number] for number in group]), now,
            padded([candidates[number] for number in group], -1),
            padded([asks[number].position for number in group], 1),
        )  # fmt: skip


def groups(sizes: Sequence[int]) -> list[list[int]]:
    """Numbers of requests that go through one pass together, so that little of it is padding."""
    found: list[list[int]] = []
    asked = 0
    for number in sorted(range(len(sizes)), key=lambda one: -sizes[one]):
        size = max(sizes[number], 1)
        if found and len(found[-1]) < LARGEST_PASS:
            largest = max(sizes[found[-1][0]], 1)
            if largest * (len(found[-1]) + 1) <= PADDING * (asked + size):
                found[-1].append(number)
                asked += size
                continue
        found.append([number])
        asked = size
    return found


def joined(states: Sequence[ViewerState]) -> ViewerState:
    """Encodings of single viewers as one batch; what is padded is not visible."""
    lengths = [state.states.shape[1] for state in states]
    if len(set(lengths)) == 1:
        return ViewerState(*map(np.concatenate, zip(*states, strict=True)))
    most = max(lengths)
    made = np.zeros((len(states), most, states[0].states.shape[2]), np.float32)
    visible = np.zeros((len(states), 1, most), np.bool_)
    for place, (state, length) in enumerate(zip(states, lengths, strict=True)):
        made[place, :length], visible[place, :, :length] = state.states[0], state.visible[0]
    return ViewerState(np.concatenate([state.last for state in states]), made, visible)


def padded(rows: Sequence[Ints], fill: int) -> Ints:
    """Rows of different lengths as one array [B, N]."""
    made = np.full((len(rows), max(map(len, rows))), fill, np.int64)
    for place, row in enumerate(rows):
        made[place, : len(row)] = row
    return made


def _last_ms(ask: Ask) -> int:
    return int(ask.history["ts_ms"][-1]) if len(ask.history) else -1
