"""What works only on a laptop or only on a cluster, found in the compiled pipeline before it runs."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from components.image import IMAGE
from pipelines.errors import PipelineNotPortable
from pipelines.spec import Spec

REFERENCE = re.compile(r"parameter_values\['([^']+)'\]")
EXECUTOR = "kfp.dsl.executor_main"


@dataclass(frozen=True)
class Rule:
    """One trap; `find` yields where a pipeline steps into it."""

    name: str
    reason: str
    mend: str
    find: Callable[[Spec], Iterator[str]]


@dataclass(frozen=True)
class Finding:
    """A rule that a pipeline breaks, at `place`: a task, component or parameter."""

    rule: Rule
    place: str

    def __str__(self) -> str:
        return f"{self.rule.name} at {self.place}: {self.rule.reason}; {self.rule.mend}"


def lint(compiled: str) -> list[Finding]:
    """Every trap in a compiled pipeline's YAML, in the order of `RULES`."""
    spec = Spec.read(yaml.safe_load_all(compiled))
    return [Finding(rule, place) for rule in RULES for place in rule.find(spec)]


def check(compiled: str) -> None:
    """Raise PipelineNotPortable, naming every finding, when there are any."""
    found = lint(compiled)
    if found:
        raise PipelineNotPortable(" | ".join(map(str, found)))


def _numeric_conditions(spec: Spec) -> Iterator[str]:
    for task in spec.tasks():
        condition = task.fields.get("triggerPolicy", {}).get("condition", "")
        known = spec.component(task.component).get("inputDefinitions", {}).get("parameters", {})
        kinds = {known.get(name, {}).get("parameterType", "") for name in REFERENCE.findall(condition)}
        if any(kind.startswith("NUMBER") for kind in kinds):
            yield task.name


def _container_components(spec: Spec) -> Iterator[str]:
    for name, container in spec.containers():
        if not any(EXECUTOR in part for part in container.get("command", ())):
            yield name


def _importers(spec: Spec) -> Iterator[str]:
    yield from (name for name, executor in spec.executors.items() if "importer" in executor)


def _artifact_choices(spec: Spec) -> Iterator[str]:
    for name, component in spec.dags():
        outputs = component["dag"].get("outputs", {}).get("artifacts", {})
        if any(len(output.get("artifactSelectors", ())) > 1 for output in outputs.values()):
            yield name


def _collected_loops(spec: Spec) -> Iterator[str]:
    for task in spec.tasks():
        loops = "parameterIterator" in task.fields or "artifactIterator" in task.fields
        if loops and spec.component(task.component).get("outputDefinitions"):
            yield task.name


def _rewritten_strings(spec: Spec) -> Iterator[str]:
    yield from (place for place, value in spec.constants() if any("python3" in text for text in _strings(value)))


def _whole_numbers_inside(spec: Spec) -> Iterator[str]:
    for place, value in spec.constants():
        if isinstance(value, dict | list) and any(_is_whole(leaf) for leaf in _leaves(value)):
            yield place


def _installs(spec: Spec) -> Iterator[str]:
    for name, container in spec.containers():
        if any("pip install" in part for part in container.get("command", ())):
            yield name


def _other_images(spec: Spec) -> Iterator[str]:
    for name, container in spec.containers():
        if container.get("image") != IMAGE:
            yield f"{name} ({container.get('image')})"


def _workspaces(spec: Spec) -> Iterator[str]:
    if "pipelineConfig" in spec.platform and "workspace" in spec.platform["pipelineConfig"]:
        yield "the pipeline's configuration"
    for task in spec.tasks():
        if any("workspace_path" in text for text in _strings(task.fields)):
            yield task.name


def _platform_caches(spec: Spec) -> Iterator[str]:
    for task in spec.tasks():
        executor = spec.executors.get(spec.component(task.component).get("executorLabel", ""), {})
        if "container" in executor and task.fields.get("cachingOptions", {}).get("enableCache"):
            yield task.name


def _thick_components(spec: Spec) -> Iterator[str]:
    for name, container in spec.containers():
        for part in container.get("command", ()):
            if "\ndef " in part and not _is_thin(part):
                yield name


def _is_thin(source: str) -> bool:
    """Whether the function only imports, then makes one call, and may return a named part of it."""
    function = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    while body and isinstance(body[0], ast.Import | ast.ImportFrom):
        body = body[1:]
    if len(body) != 1 or not isinstance(body[0], ast.Expr | ast.Return):
        return False
    value = body[0].value
    if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant):
        value = value.value
    calls = [node for node in ast.walk(value) if isinstance(node, ast.Call)] if value else []
    return len(calls) == 1 and calls[0] is value


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


def _strings(value: Any) -> Iterator[str]:
    return (leaf for leaf in _leaves(value) if isinstance(leaf, str))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()


RULES = (
    Rule(
        "numeric-condition",
        "kfp.local compares a number as the text it prints as, so a branch may be skipped both ways",
        "return a word from the component and compare with that",
        _numeric_conditions,
    ),
    Rule(
        "container-component",
        "a laptop without Docker cannot run it",
        "write a @dsl.component that calls the program",
        _container_components,
    ),
    Rule(
        "importer",
        "a local path exists on a laptop only, and kfp.local reads no other address",
        "take the address as a string parameter and read it inside a step",
        _importers,
    ),
    Rule(
        "artifact-one-of",
        "kfp.local loses an artifact that comes out of a choice of branches",
        "use the artifact inside the branch, or choose by a string parameter",
        _artifact_choices,
    ),
    Rule(
        "collected-loop",
        "kfp.local raises when the loop has no items",
        "loop inside one step",
        _collected_loops,
    ),
    Rule(
        "rewritten-string",
        "kfp.local replaces `python3` in every parameter by the path of its interpreter",
        "name it otherwise",
        _rewritten_strings,
    ),
    Rule(
        "whole-number-inside",
        "whole numbers inside a list or dict arrive as floats",
        "use flat, typed parameters",
        _whole_numbers_inside,
    ),
    Rule(
        "installs-packages",
        "the task installs packages each time it starts, from an index that a cluster may not reach",
        "set install_kfp_package=False, give no packages_to_install, and put them into the image",
        _installs,
    ),
    Rule(
        "other-image",
        "a laptop runs it with our packages, a cluster without",
        f"set base_image={IMAGE!r}",
        _other_images,
    ),
    Rule(
        "workspace",
        "kfp.local deletes the workspace after a run",
        "pass artifacts, or keep the data in the object store",
        _workspaces,
    ),
    Rule(
        "platform-cache",
        "its key knows neither the code that a step imports nor an address's content: results go stale",
        "call set_caching_options(False); run_step has a cache of its own",
        _platform_caches,
    ),
    Rule(
        "thick-component",
        "code in the component's body is neither typed, tested, nor in the key of the step's cache",
        "move it to the step's `run`; leave imports and one call",
        _thick_components,
    ),
)
