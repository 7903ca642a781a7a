"""JSON schemas of Kubernetes' and KServe's objects that refuse unknown fields, from the Python clients' models."""

from __future__ import annotations

import re
from typing import Any

import kserve.models
import kubernetes.client.models  # type: ignore[import-untyped]

PLAIN = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "datetime": "string"}


def of_model(name: str) -> dict[str, Any]:
    """The schema of a model and of all that it holds."""
    models: dict[str, Any] = {}
    return {**_of_type(name, models), "$defs": models}


def _of_type(kind: str, models: dict[str, Any]) -> dict[str, Any]:
    if found := re.fullmatch(r"list\[(.+)\]", kind):
        return {"type": "array", "items": _of_type(found[1], models)}
    if found := re.fullmatch(r"dict\(str, (.+)\)", kind):
        return {"type": "object", "additionalProperties": _of_type(found[1], models)}
    if kind in PLAIN:
        return {"type": PLAIN[kind]}
    name = kind.replace("K8sIoApiAppsV1", "V1")
    model = getattr(kserve.models, name, None) or getattr(kubernetes.client.models, name, None)
    if model is None:
        return {}  # `object`, and what this client is too old for
    if name not in models:
        models[name] = {}  # for models that hold themselves
        models[name] = {
            "type": "object",
            "additionalProperties": False,
            "required": [model.attribute_map[field] for field in model.openapi_types if _required(model, field)],
            "properties": {
                model.attribute_map[field]: _of_type(one, models) for field, one in model.openapi_types.items()
            },
        }
    return {"$ref": f"#/$defs/{name}"}


def _required(model: type, field: str) -> bool:
    """Whether the model refuses to be without that field."""
    empty: Any = object.__new__(model)
    empty.__dict__["local_vars_configuration"] = kubernetes.client.Configuration()
    try:
        setattr(empty, field, None)
    except ValueError:
        return True
    return False
