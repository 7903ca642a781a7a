"""Every failure of the serving side by name; the message says what, which value, and what to do next.

What a caller may see has a status: 4xx for what the caller did, 503 with a time to try again for what we lack. What the
client raises stands at the end.
"""

from http import HTTPStatus


class InferenceError(Exception):
    """Root of the named failures of `inference`."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    retry_after_s: float | None = None


class InvalidRequest(InferenceError):
    """A request that cannot be answered as it is."""

    status = HTTPStatus.BAD_REQUEST


class RequestTooLarge(InferenceError):
    """A request over the size limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnknownModel(InferenceError):
    """A model's name that this server does not serve."""

    status = HTTPStatus.NOT_FOUND


class Unavailable(InferenceError):
    """Something that an answer needs is not there just now."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry_after_s = 1.0


class DeadlineExceeded(Unavailable):
    """No answer within the time that a request has."""


class Overloaded(Unavailable):
    """More requests wait than can be answered in time."""


class EndpointRefused(Exception):
    """The endpoint does not answer such a request; `status` is HTTP's, 4xx."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class EndpointUnavailable(Exception):
    """The endpoint cannot answer just now, or is not there; `retry_after_s` when it said so."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
