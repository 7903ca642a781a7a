"""The Kubeflow components agree with the steps they stand around."""

import importlib
import inspect
from pathlib import Path

import pytest
import yaml

from pipelines.compile import compiled
from pipelines.lint import lint

ROOT = Path(__file__).parents[2] / "components"
NAMES = sorted(path.parent.name for path in ROOT.glob("*/step.py"))
CONTENT = "_digest"
"""Ends the names of parameters that are part of a step's key only."""


def interface(name: str) -> tuple[set[str], dict[str, object]]:
    """Arguments of the component, and its parameters' defaults (None: has to be given)."""
    component = getattr(importlib.import_module(f"components.{name}.component"), name)
    spec = component.component_spec
    taken = {key: one for key, one in (spec.inputs or {}).items() if not key.endswith(CONTENT)}
    arguments = set(taken) | (set(spec.outputs or {}) - {"Output", "metrics"})
    return arguments, {key: one.default if one.optional else None for key, one in taken.items()}


def test_every_step_has_its_component_and_says_what_it_is() -> None:
    assert sorted(path.parent.name for path in ROOT.glob("*/component.py")) == NAMES
    assert sorted(path.parent.name for path in ROOT.glob("*/README.md")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_component_hands_over_what_the_step_takes(name: str) -> None:
    known = inspect.signature(importlib.import_module(f"components.{name}.step").run).parameters
    arguments, _ = interface(name)

    assert arguments <= set(known)
    needed = {key for key, one in known.items() if one.default is inspect.Parameter.empty}
    assert needed <= arguments


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_those_of_the_step(name: str) -> None:
    known = inspect.signature(importlib.import_module(f"components.{name}.step").run).parameters
    for key, default in interface(name)[1].items():
        if default is not None and known[key].default is not inspect.Parameter.empty:
            assert default == known[key].default, key


@pytest.mark.parametrize("name", NAMES)
def test_a_component_is_thin_and_installs_nothing(name: str) -> None:
    component = getattr(importlib.import_module(f"components.{name}.component"), name)
    text = compiled(component)
    assert {finding.rule.name for finding in lint(text)} <= {"platform-cache"}
    (executor,) = next(yaml.safe_load_all(text))["deploymentSpec"]["executors"].values()
    source = executor["container"]["command"][-1]
    assert f'"{name}"' in source
