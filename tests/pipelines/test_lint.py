"""Each trap is found where it is, alone, and none is found in our pipelines."""

import math

import pytest
import yaml
from kfp.dsl.base_component import BaseComponent

from pipelines.compile import compiled, find
from pipelines.errors import PipelineNotPortable
from pipelines.known import PIPELINES
from pipelines.lint import RULES, check, lint
from tests.pipelines.bad import BAD
from tests.pipelines.small import fetch, films, world

CASES = [(rule, pipeline) for rule, pipelines in BAD.items() for pipeline in pipelines]


@pytest.mark.parametrize(("rule", "pipeline"), CASES, ids=[pipeline.name for _, pipeline in CASES])
def test_a_trap_is_found_alone(rule: str, pipeline: BaseComponent) -> None:
    assert {finding.rule.name for finding in lint(compiled(pipeline))} == {rule}


def test_every_rule_has_a_pipeline_that_breaks_it() -> None:
    assert set(BAD) == {rule.name for rule in RULES}


@pytest.mark.parametrize("name", PIPELINES)
def test_our_pipelines_are_clean(name: str) -> None:
    assert lint(compiled(find(name))) == []


@pytest.mark.parametrize("pipeline", [world, films, fetch], ids=lambda pipeline: pipeline.name)
def test_a_small_pipeline_of_our_components_is_clean(pipeline: BaseComponent) -> None:
    assert lint(compiled(pipeline)) == []


def test_a_refusal_names_rule_place_reason_and_mend() -> None:
    with pytest.raises(PipelineNotPortable) as refusal:
        check(compiled(BAD["numeric-condition"][0]))
    (rule,) = [rule for rule in RULES if rule.name == "numeric-condition"]
    assert str(refusal.value) == f"numeric-condition at condition-1: {rule.reason}; {rule.mend}"


@pytest.mark.parametrize(
    ("value", "rules"),
    [(2.0, {"whole-number-inside"}), (2.5, set()), (math.inf, set()), (-math.inf, set()), (math.nan, set())],
)
def test_a_number_inside_is_whole_or_not(value: float, rules: set[str]) -> None:
    parameters = {"rates": {"defaultValue": [value], "parameterType": "LIST"}}
    root = {"dag": {"tasks": {}}, "inputDefinitions": {"parameters": parameters}}
    assert {finding.rule.name for finding in lint(yaml.safe_dump({"root": root, "components": {}}))} == rules
