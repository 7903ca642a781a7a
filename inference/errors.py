"""Every failure of the serving side by name; the message says what, which value, and what to do next.

What a caller may see has a status: 4xx for what the caller did, 503 with a time to try again for what we lack.
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
