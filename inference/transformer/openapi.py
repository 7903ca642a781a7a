"""The endpoint's HTTP interface as OpenAPI 3.1, made of the very types that decode its requests."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import msgspec

from inference.protocol import InferRequest, InferResponse
from inference.transformer.messages import (
    ErrorResponse,
    ExplainRequest,
    ExplainResponse,
    PredictRequest,
    PredictResponse,
)

TYPES = (PredictRequest, PredictResponse, ExplainRequest, ExplainResponse, InferRequest, InferResponse, ErrorResponse)
WHERE = "#/components/schemas/{name}"


def document(model: str) -> dict[str, Any]:
    """The description that `GET /openapi.json` answers."""
    _, components = msgspec.json.schema_components(TYPES, ref_template=WHERE)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Rapt",
            "version": version("rapt"),
            "description": "How likely a viewer is to engage with videos, given all that they did up to a moment ago.",
        },
        "paths": {
            f"/v1/models/{model}:predict": {"post": _operation(
                "predict", "Score videos for viewers", PredictRequest, PredictResponse)},
            f"/v1/models/{model}:explain": {"post": _operation(
                "explain", "Take predictions apart", ExplainRequest, ExplainResponse)},
            f"/v2/models/{model}/infer": {"post": _operation(
                "infer", "Score videos for a viewer, by the Open Inference Protocol", InferRequest, InferResponse)},
            "/v2/health/live": {"get": _check("live", "Whether the server runs", busy=False)},
            "/v2/health/ready": {"get": _check("ready", "Whether requests should come here now", busy=True)},
            f"/v2/models/{model}/ready": {"get": _check("modelReady", "Whether the model answers now", busy=True)},
            f"/v2/models/{model}": {"get": _check("metadata", "The model's inputs and outputs", busy=False)},
            "/metrics": {"get": {
                "operationId": "metrics", "summary": "Metrics of all workers, for Prometheus",
                "responses": {"200": {"description": "Metrics", "content": {"text/plain": {}}}}}},
        },
        "components": {"schemas": components},
    }  # fmt: skip


def _operation(name: str, summary: str, asked: type, answered: type) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True, "content": _json(asked)},
        "responses": {
            "200": {"description": "The answer", "content": _json(answered)},
            "400": {"description": "The request cannot be answered as it is", "content": _json(ErrorResponse)},
            "413": {"description": "The body is too large", "content": _json(ErrorResponse)},
            "503": {
                "description": "Something that the answer needs is not there just now",
                "headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds"}},
                "content": _json(ErrorResponse),
            },
        },
    }


def _check(name: str, summary: str, *, busy: bool) -> dict[str, Any]:
    anything = {"application/json": {"schema": {"type": "object"}}}
    responses = {"200": {"description": "Yes", "content": anything}}
    if busy:
        responses["503"] = {"description": "Not now, and what it waits for", "content": anything}
    return {"operationId": name, "summary": summary, "responses": responses}


def _json(kind: type) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": WHERE.format(name=kind.__name__)}}}
