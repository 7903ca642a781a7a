"""A viewer's events as model inputs: the one function that training and serving share.

Only feedback (watch, like, share, skip) enters a history, one row an event, oldest first, at most
`HISTORY` rows. Everything here is relative: no absolute time, no viewer id.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interest.records import FEEDBACK, Kind

HISTORY = 100
"""Feedback events that a viewer's state keeps."""

KIND_CODES = {kind: code for code, kind in enumerate(FEEDBACK)}
SESSION_GAP_S = 1800.0
"""A pause longer than this begins a new session (the web analytics convention)."""

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Feedback:
    """Raw feedback events, arrays of one shape [..., L], oldest first along the last axis.

    `video` is a catalogue row, -1 when unknown; `ts_ms` when the feedback happened.
    """

    video: Ints
    kind: Ints
    watch_ms: Ints
    position: Ints
    ts_ms: Ints

    def last(self, most: int) -> Feedback:
        """The newest `most` of the events."""
        return Feedback(*(column[..., -most:] for column in vars(self).values()))


def kind_code(kind: Kind) -> int:
    """Code of a feedback kind in a history; raises KeyError for an impression, which is no feedback."""
    return KIND_CODES[kind]


def outcomes(feedback: Feedback, duration_s: NDArray[np.floating]) -> Floats:
    """Numbers of each event [..., L, 4]: watch ratio, log watched s, log gap to the event before, log position.

    `duration_s` [..., L] is the length of each event's video, 0 when unknown. The first row's gap is 0.
    """
    watched_s = feedback.watch_ms / 1000.0
    made = np.empty((*watched_s.shape, 4), np.float32)
    made[..., 0] = np.where(duration_s > 0, watched_s / np.maximum(duration_s, 0.1), 0.0).clip(0.0, 2.0)
    made[..., 1] = np.log1p(np.maximum(watched_s, 0.0))
    made[..., :1, 2] = 0.0
    made[..., 1:, 2] = log_gap((feedback.ts_ms[..., 1:] - feedback.ts_ms[..., :-1]) / 1000.0)
    made[..., 3] = np.log(np.maximum(feedback.position, 1))
    return made


def moment(last_ms: Ints, now_ms: Ints) -> Floats:
    """The request's place in time [..., 2]: log gap since the last feedback, and whether a session begins.

    A viewer without feedback passes `last_ms` = -1 and begins a session.
    """
    gap_s = np.where(last_ms < 0, SESSION_GAP_S * 48, (now_ms - last_ms) / 1000.0)
    return np.stack([log_gap(gap_s), (gap_s > SESSION_GAP_S).astype(np.float32)], axis=-1).astype(np.float32)


def log_gap(gap_s: NDArray[np.floating]) -> NDArray[np.floating]:
    """Seconds to a number near 0..3; clocks that run backwards count as no gap."""
    result: NDArray[np.floating] = np.log1p(np.maximum(gap_s, 0.0)) / 5.0
    return result


def log_length(duration_s: NDArray[np.floating]) -> Floats:
    """A video's length as the model sees it: log of seconds over 20, about unit variance; unknown is 0."""
    known = np.maximum(duration_s, 0.5)
    return np.where(duration_s > 0, np.log(known / 20.0) / 0.6, 0.0).astype(np.float32)
