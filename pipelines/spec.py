"""A compiled pipeline to look through: tasks, components, containers and constants by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Task:
    """A task of any DAG in the pipeline, `fields` as in the YAML."""

    name: str
    component: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class Spec:
    """The pipeline's document and what it says to Kubernetes."""

    pipeline: dict[str, Any]
    platform: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def read(documents: Iterable[dict[str, Any]]) -> Spec:
        """Of a compiled pipeline's YAML documents, one or two."""
        pipeline, *platforms = documents
        found = platforms[0]["platforms"].get("kubernetes", {}) if platforms else {}
        return Spec(pipeline, found)

    @property
    def executors(self) -> dict[str, dict[str, Any]]:
        """What each component without tasks runs."""
        found: dict[str, dict[str, Any]] = self.pipeline.get("deploymentSpec", {}).get("executors", {})
        return found

    def containers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Executors that are containers."""
        yield from ((name, e["container"]) for name, e in self.executors.items() if "container" in e)

    def component(self, name: str) -> dict[str, Any]:
        """The component called `name`."""
        found: dict[str, Any] = self.pipeline["components"][name]
        return found

    def dags(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The root and every component that is made of tasks."""
        yield "root", self.pipeline["root"]
        yield from ((n, c) for n, c in self.pipeline["components"].items() if "dag" in c)

    def tasks(self) -> Iterator[Task]:
        """Every task of every DAG."""
        for _, component in self.dags():
            for name, task in component["dag"]["tasks"].items():
                yield Task(name, task["componentRef"]["name"], task)

    def constants(self) -> Iterator[tuple[str, Any]]:
        """Where a default or a fixed argument stands, and its value."""
        owners = {"root": self.pipeline["root"], **self.pipeline["components"]}
        for owner, component in owners.items():
            for name, one in component.get("inputDefinitions", {}).get("parameters", {}).items():
                if "defaultValue" in one:
                    yield f"{owner}.{name}", one["defaultValue"]
        for task in self.tasks():
            for name, one in task.fields.get("inputs", {}).get("parameters", {}).items():
                if "runtimeValue" in one:
                    yield f"{task.name}.{name}", one["runtimeValue"].get("constant")
