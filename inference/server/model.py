"""What a model server hosts: a KServe model that says what it waits for and answers v1 and v2."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from kserve.model import Model

from inference.errors import InvalidRequest
from inference.protocol import Call


class ServedModel(Model):  # type: ignore[misc]
    """A KServe model; the server calls `begin` in its event loop before it listens, and `end` when all is answered."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.ready = True
        self.draining = False

    async def begin(self) -> None:
        """Start what needs the event loop."""

    async def end(self) -> None:
        """End it; requests in flight are answered by now."""

    @abstractmethod
    def missing(self) -> str:
        """What an answer would need and is not there; empty when there is nothing."""

    def waits_for(self) -> str:
        """Why no request should be sent here just now; empty when it may."""
        return "the end: it shuts down" if self.draining else self.missing()

    async def healthy(self) -> bool:
        """For KServe's readiness of a model."""
        return not self.waits_for()

    @abstractmethod
    async def infer(self, call: Call) -> Call:
        """One inference by Open Inference Protocol v2."""

    async def predict_v1(self, body: bytes) -> bytes:  # noqa: ARG002
        """`:predict` of KServe's v1 protocol, JSON in and out."""
        raise InvalidRequest(f"{self.name} here speaks v2 only: POST /v2/models/{self.name}/infer")

    async def explain_v1(self, body: bytes) -> bytes:  # noqa: ARG002
        """`:explain` of KServe's v1 protocol, JSON in and out."""
        raise InvalidRequest(f"{self.name} here does not explain; ask the transformer or the explainer")

    def status(self) -> dict[str, object]:
        """What a person wants to know of it; `rapt status` shows it."""
        return {}

    def openapi(self) -> dict[str, Any] | None:
        """The description of its HTTP interface, where it has one of its own."""
        return None
