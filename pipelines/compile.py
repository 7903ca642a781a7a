"""Pipelines to the YAML that Kubeflow Pipelines takes.

python -m pipelines.compile training training.yaml
"""

from __future__ import annotations

import difflib
import io
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler
from kfp.dsl.base_component import BaseComponent
from kfp.local.graph_utils import topological_sort_tasks
from kfp.pipeline_spec.pipeline_spec_pb2 import ParameterType

from components.image import IMAGE
from pipelines.errors import InvalidArgument, UnknownPipeline
from pipelines.known import PIPELINES

TYPES: dict[str, type | tuple[type, ...]] = {
    "STRING": str, "NUMBER_INTEGER": int, "NUMBER_DOUBLE": (int, float), "BOOLEAN": bool,
}  # fmt: skip


def find(name: str) -> BaseComponent:
    """The pipeline called `name`; raises UnknownPipeline."""
    if name not in PIPELINES:
        near = difflib.get_close_matches(name, PIPELINES, 1)
        raise UnknownPipeline(
            f"no pipeline {name!r}: " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(PIPELINES)}")
        )
    return PIPELINES[name]


def compiled(pipeline: BaseComponent, image: str = IMAGE) -> str:
    """The pipeline as YAML, its components in `image`."""
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        documents = list(yaml.safe_load_all(path.read_text()))
    for container in containers(documents[0]):
        if container.get("image") == IMAGE:
            container["image"] = image
    text: str = yaml.safe_dump_all(documents, sort_keys=True)
    return text


def containers(spec: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The container of every executor in a compiled pipeline."""
    for executor in spec.get("deploymentSpec", {}).get("executors", {}).values():
        if "container" in executor:
            yield executor["container"]


def step_tasks(spec: Any) -> dict[str, str]:
    """The steps of a pipeline's spec, each behind those that it needs, and the task in its DAG that runs each."""

    def ordered(dag: Any) -> Iterator[tuple[str, str]]:
        for task in reversed(topological_sort_tasks({name: dag.tasks[name] for name in sorted(dag.tasks)})):
            component = dag.tasks[task].component_ref.name
            inner = spec.components[component]
            if inner.WhichOneof("implementation") == "dag":
                yield from ordered(inner.dag)
            else:
                yield component.removeprefix("comp-").replace("-", "_"), task

    return dict(ordered(spec.root.dag))


def step_names(spec: Any) -> tuple[str, ...]:
    """The components of a pipeline's spec, each behind those that it needs."""
    return tuple(step_tasks(spec))


def checked(pipeline: BaseComponent, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, when the pipeline takes them; raises InvalidArgument naming the one that is wrong."""
    known = pipeline.pipeline_spec.root.input_definitions.parameters
    for name, value in arguments.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise InvalidArgument(f"{pipeline.name} has no parameter {name!r}: {hint}")
        kind = ParameterType.ParameterTypeEnum.Name(known[name].parameter_type)
        if not isinstance(value, TYPES[kind]) or (kind != "BOOLEAN" and isinstance(value, bool)):
            raise InvalidArgument(f"{name}={value!r} is not of the type {kind.lower()}")
    missing = [name for name, spec in known.items() if not spec.is_optional and name not in arguments]
    if missing:
        raise InvalidArgument(f"{pipeline.name} needs {', '.join(missing)}")
    return dict(arguments)


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(compiled(find(sys.argv[1])))
