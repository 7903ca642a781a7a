"""A typed client of the endpoint.

with Client("http://127.0.0.1:8080") as client:
    print(client.predict("u1", ["v1", "v2"]).videos)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import httpx
import msgspec

from inference.errors import EndpointRefused, EndpointUnavailable
from inference.transformer.messages import (
    Context,
    ErrorResponse,
    Explained,
    ExplainInstance,
    ExplainRequest,
    ExplainResponse,
    Instance,
    Prediction,
    PredictRequest,
    PredictResponse,
)

MODEL = "interest"
PREDICT, EXPLAIN, READY = f"/v1/models/{MODEL}:predict", f"/v1/models/{MODEL}:explain", "/v2/health/ready"
JSON = {"content-type": "application/json"}
LONGEST_REASON = 300
T = TypeVar("T")


class Client:
    """Keeps its connections, which threads may share."""

    def __init__(self, endpoint: str, *, timeout_s: float = 5.0) -> None:
        self.endpoint = endpoint
        self._http = httpx.Client(base_url=endpoint, timeout=timeout_s, headers=JSON)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    def predict(
        self, user_id: str, video_ids: Sequence[str], *, position: int = 1, now_ms: int | None = None
    ) -> Prediction:
        """The chance of engaging with each video; raises EndpointRefused, EndpointUnavailable."""
        answer = self._post(PREDICT, predict_body(user_id, video_ids, position=position, now_ms=now_ms))
        return prediction(answer)

    def explain(
        self,
        user_id: str,
        video_ids: Sequence[str],
        *,
        position: int = 1,
        now_ms: int | None = None,
        pictures: bool = False,
    ) -> Explained:
        """Why, for each video; raises EndpointRefused, EndpointUnavailable."""
        instance = ExplainInstance(user_id, list(video_ids), Context(position, now_ms))
        answer = self._post(EXPLAIN, msgspec.json.encode(ExplainRequest([instance], pictures)))
        (explained,) = _decoded(answer, ExplainResponse).explanations
        return explained

    def ready(self) -> bool:
        """Whether requests would be answered now."""
        try:
            return self._http.get(READY).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _post(self, path: str, body: bytes) -> httpx.Response:
        try:
            return self._http.post(path, content=body)
        except httpx.TransportError as error:
            raise unreachable(self.endpoint, error) from error


def predict_body(user_id: str, video_ids: Sequence[str], *, position: int = 1, now_ms: int | None = None) -> bytes:
    """What `:predict` takes."""
    return msgspec.json.encode(PredictRequest([Instance(user_id, list(video_ids), Context(position, now_ms))]))


def prediction(answer: httpx.Response) -> Prediction:
    """The one prediction in an answer of `:predict`; raises EndpointRefused, EndpointUnavailable."""
    (made,) = _decoded(answer, PredictResponse).predictions
    return made


def unreachable(endpoint: str, error: httpx.TransportError) -> EndpointUnavailable:
    """The error for a request that got no answer."""
    return EndpointUnavailable(
        f"no answer from {endpoint} ({type(error).__name__}: {error}); does it run? Try `rapt up`"
    )


def _decoded(answer: httpx.Response, kind: type[T]) -> T:
    status = answer.status_code
    if status == httpx.codes.OK:
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except msgspec.DecodeError as error:
            raise EndpointUnavailable(
                f"{answer.url} answers what is no {kind.__name__} ({error}): is it Rapt's?"
            ) from error
    if 400 <= status < 500 and status != httpx.codes.TOO_MANY_REQUESTS:
        raise EndpointRefused(f"{_reason(answer)} ({status} from {answer.url})", status)
    raise EndpointUnavailable(f"{_reason(answer)} ({status} from {answer.url})", _retry_after_s(answer))


def _reason(answer: httpx.Response) -> str:
    """The server's own words; the beginning of what it said when that is not ours."""
    try:
        return msgspec.json.decode(answer.content, type=ErrorResponse).error
    except msgspec.DecodeError:
        return answer.text[:LONGEST_REASON] or answer.reason_phrase


def _retry_after_s(answer: httpx.Response) -> float | None:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isdecimal() else None
