"""The endpoint's requests and answers in JSON (KServe's v1 protocol)."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from inference.errors import InvalidRequest

LARGEST_ID = 256
MOST_CANDIDATES = 500
MOST_INSTANCES = 32
MOST_EXPLAINED = 20
LATEST_MS = 2**52

T = TypeVar("T")
Id = Annotated[str, Meta(min_length=1, max_length=LARGEST_ID)]
Position = Annotated[int, Meta(ge=1, le=65535)]
Moment = Annotated[int, Meta(ge=0, le=LATEST_MS)]


class Context(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Where and when it would be shown: `position` in the feed, from 1; `now_ms` since 1970, by default now."""

    position: Position = 1
    now_ms: Moment | None = None


class Instance(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A viewer and the videos to score for them."""

    user_id: Id
    video_ids: Annotated[list[Id], Meta(min_length=1, max_length=MOST_CANDIDATES)]
    context: Context = Context()


class PredictRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What `:predict` takes."""

    instances: Annotated[list[Instance], Meta(min_length=1, max_length=MOST_INSTANCES)]


class Scored(msgspec.Struct, frozen=True):
    """A video and the chance that the viewer engages with it at that position."""

    video_id: str
    probability: float


class Prediction(msgspec.Struct, frozen=True):
    """The answer for one instance, videos in the order in which they were asked for.

    `events` is the number of past events that it stood on, `state_age_ms` how far the viewer's state may be behind
    what they did. `unknown_videos` were scored without content.
    """

    user_id: str
    request_id: str
    arm: str
    model_digest: str
    state_age_ms: int
    events: int
    now_ms: int
    videos: list[Scored]
    unknown_videos: list[str]


class PredictResponse(msgspec.Struct, frozen=True):
    """What `:predict` answers."""

    predictions: list[Prediction]


class ExplainInstance(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A viewer and the videos to explain."""

    user_id: Id
    video_ids: Annotated[list[Id], Meta(min_length=1, max_length=MOST_EXPLAINED)]
    context: Context = Context()


class ExplainRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What `:explain` takes; with `pictures` the frames come too, each with what in it spoke for the prediction."""

    instances: Annotated[list[ExplainInstance], Meta(min_length=1, max_length=1)]
    pictures: bool = False


class PastEvent(msgspec.Struct, frozen=True):
    """A past event and its weight in a prediction; `video_id` is null for a video that the model does not know."""

    video_id: str | None
    kind: str
    ts_ms: int
    watch_ms: int
    weight: float


class Picture(msgspec.Struct, frozen=True):
    """A frame as PNG in base64, plain and under its heat: where in it the model saw what moved the prediction."""

    window: int
    frame: int
    plain: str
    heat: str


class ExplainedVideo(msgspec.Struct, frozen=True):
    """A prediction taken apart: `terms` add up to `logit` exactly; `start_weight` is what no event explains."""

    video_id: str
    known: bool
    probability: float
    logit: float
    terms: dict[str, float]
    past: list[PastEvent]
    start_weight: float
    pictures: list[Picture]
    pictures_missing: str


class Explained(msgspec.Struct, frozen=True):
    """The answer for one instance of `:explain`."""

    user_id: str
    model_digest: str
    state_age_ms: int
    now_ms: int
    videos: list[ExplainedVideo]


class ExplainResponse(msgspec.Struct, frozen=True):
    """What `:explain` answers."""

    explanations: list[Explained]


class ErrorResponse(msgspec.Struct, frozen=True):
    """What any refused request answers: what was wrong, with which value."""

    error: str


_PREDICT = msgspec.json.Decoder(PredictRequest)
_EXPLAIN = msgspec.json.Decoder(ExplainRequest)


def predict_request(body: bytes) -> PredictRequest:
    """Decode `:predict`'s body; raises InvalidRequest saying what is wrong and where."""
    return _decoded(_PREDICT, body)


def explain_request(body: bytes) -> ExplainRequest:
    """Decode `:explain`'s body; raises InvalidRequest saying what is wrong and where."""
    return _decoded(_EXPLAIN, body)


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        try:
            # To JSON Schema 3.0 is an integer, and some languages write theirs so.
            return msgspec.convert(_integral(msgspec.json.decode(body)), decoder.type)
        except (msgspec.DecodeError, RecursionError):
            raise InvalidRequest(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the body is no JSON: {error}") from error


def _integral(value: Any) -> Any:
    """The same JSON with whole floats as integers."""
    if isinstance(value, dict):
        return {name: _integral(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_integral(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
