"""The records that travel between parts, each defined once, and the one definition of *engaged*."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

ENGAGED_WATCH_S = 18.0
"""Seconds of watching that count as engagement for any longer video (KuaiRand's long view)."""


class Kind(StrEnum):
    """What a viewer did; `impression` says what was shown, the others are feedback."""

    IMPRESSION = "impression"
    WATCH = "watch"
    LIKE = "like"
    SHARE = "share"
    SKIP = "skip"


FEEDBACK = (Kind.WATCH, Kind.LIKE, Kind.SHARE, Kind.SKIP)
"""The kinds that enter a viewer's history, in the order of their codes there."""


class Video(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One video of the catalogue; `uri` is where its bytes lie (`s3://`, a path).

    A message that announces a new video need not know `duration_s`: it is found in the file.
    """

    video_id: str
    uri: str
    caption: str = ""
    duration_s: float = 0.0
    published_at_ms: int = 0
    topic: str | None = None


class Content(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one model's encoders make of a video (topic `content`, key `video_id`).

    `content` holds float32 [M, C], little-endian, row by row; a missing modality has the model's own token.
    """

    video_id: str
    model_digest: str
    duration_s: float
    content: bytes


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """An item that a step could not use, and why; it never stops the others."""

    item: str
    reason: str


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One action of a viewer (topic `events`, key `user_id`).

    An impression and the feedback on it share `request_id` and `video_id`. `position` counts from 1;
    `randomised` marks impressions that were drawn uniformly, whatever any model thought.
    """

    event_id: str
    user_id: str
    video_id: str
    request_id: str
    ts_ms: int
    kind: Kind
    watch_ms: int = 0
    position: int = 1
    randomised: bool = False


class Exposure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a viewer was scored, and on what it stood (topic `exposures`, key `user_id`).

    The history behind it is what the viewer's feedback in partition `state_offset[0]` of `events`, from offset
    `state_since` up to but without `state_offset[1]`, makes; with `ts_ms` as the moment the scores follow from it.
    A viewer without state has (-1, 0). `propensity` is the chance that the viewer got this `arm`.

    For experiments: `baseline` is what the stable model thought of the request, the mean of its ten highest scores,
    whatever the arm; `latency_ms` the time that the arm's predictor took; `failed` says that the candidate's did not
    answer and the stable one's scores were given; `unknown` counts candidates that the arm's model does not know.
    """

    request_id: str
    user_id: str
    experiment: str | None
    arm: str
    propensity: float
    model_digest: str
    candidates: tuple[str, ...]
    positions: tuple[int, ...]
    scores: tuple[float, ...]
    state_offset: tuple[int, int]
    state_since: int
    state_age_ms: int
    ts_ms: int
    baseline: float | None = None
    latency_ms: float = 0.0
    failed: bool = False
    unknown: int = 0


def watch_threshold_ms(duration_s: float) -> int:
    """Milliseconds of watching from which a video of that length counts as engaged."""
    return round(min(duration_s, ENGAGED_WATCH_S) * 1000)


def engaged(feedback: Iterable[tuple[Kind, int]], duration_s: float) -> bool:
    """The outcome: watched at least min(duration, 18 s), or liked, or shared.

    `feedback` holds (kind, watch_ms) of every event on one impression within the label window.
    """
    threshold = watch_threshold_ms(duration_s)
    return any(
        kind in (Kind.LIKE, Kind.SHARE) or (kind is Kind.WATCH and watch_ms >= threshold) for kind, watch_ms in feedback
    )
