"""The definition of the kind Experiment says what `parse` says: by its fields, by examples, by a real API server."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from interest.errors import InvalidExperiment
from interest.experiments.decision import Bounds, GuardrailStatus, Phase, Status
from interest.experiments.sample_ratio import SampleRatio
from interest.experiments.spec import FIXED, Metric, Spec, document, parse
from monitoring.operator.records import written
from tests.monitoring.operator.apiserver import ApiServer, Refused
from tests.monitoring.operator.conftest import EXPERIMENTS
from tests.monitoring.operator.objects import GOOD, OTHER, experiment

pytestmark = pytest.mark.cluster

BY_RULES = {"primary", "guardrails"}
"""Whose enum is narrower here than the struct's: `parse` refuses the rest in words."""
VALID: dict[str, dict[str, Any]] = {
    "the least": {},
    "all of it": {
        "stable": OTHER, "share": [0.01, 0.5, 0.99], "stepAfter": "90s", "salt": "s" * 200, "traffic": [0.25, 0.75],
        "primary": {"metric": "engagement", "margin": 1}, "guardrails": [{"metric": "latency", "margin": 0}],
        "alpha": 0.2, "window": "1s", "deadline": "0.5d", "paused": True, "decision": "rollback",
    },
    "no guardrails": {"guardrails": []},
    "milliseconds": {"window": "1000ms", "stepAfter": "0s"},
    "a part of a day": {"window": "0.25d"},
    "no decision": {"decision": None},
    "a primary one without margin": {"primary": {"metric": "engagement"}},
}  # fmt: skip
BY_SCHEMA: dict[str, dict[str, Any]] = {
    "no digest": {"candidate": "abc"},
    "capitals": {"candidate": "B" * 64},
    "a digest of another length": {"stable": "a" * 63},
    "no share": {"share": []},
    "a share of nobody": {"share": [0.0]},
    "a share of all": {"share": [1.0]},
    "many steps": {"share": [step / 100 for step in range(1, 22)]},
    "words for a share": {"share": ["half"]},
    "no unit": {"stepAfter": "10"},
    "another unit": {"deadline": "2w"},
    "a long salt": {"salt": "s" * 201},
    "three ends": {"traffic": [0.0, 0.5, 1.0]},
    "one end": {"traffic": [0.5]},
    "traffic beyond all": {"traffic": [0.0, 1.5]},
    "another primary metric": {"primary": {"metric": "latency"}},
    "a margin below 0": {"primary": {"margin": -0.1}},
    "a margin of more than all": {"primary": {"margin": 1.1}},
    "an unknown guardrail": {"guardrails": [{"metric": "clicks", "margin": 0.1}]},
    "the primary metric as a guardrail": {"guardrails": [{"metric": "engagement", "margin": 0.1}]},
    "a guardrail without margin": {"guardrails": [{"metric": "errors"}]},
    "a guardrail below 0": {"guardrails": [{"metric": "errors", "margin": -1}]},
    "no alpha": {"alpha": 0},
    "much alpha": {"alpha": 0.3},
    "a word for paused": {"paused": "yes"},
    "another decision": {"decision": "maybe"},
}
BY_RULE: dict[str, dict[str, Any]] = {
    "shares that shrink": {"share": [0.5, 0.25]},
    "a share twice": {"share": [0.25, 0.25]},
    "an empty range": {"traffic": [0.5, 0.5]},
    "a range backwards": {"traffic": [0.75, 0.25]},
    "the stable model itself": {"stable": GOOD},
    "a guardrail twice": {"guardrails": [{"metric": "errors", "margin": 0.1}, {"metric": "errors", "margin": 0.2}]},
    "a short window": {"window": "999ms"},
    "a window of nothing": {"window": "0d"},
}
INVALID = BY_SCHEMA | BY_RULE
NAMES = {"a": True, "9": True, "a" * 40: True, "a-b": True, "a" * 41: False, "a.b": False}


def schema_of(definition: dict[str, Any], part: str) -> dict[str, Any]:
    (version,) = definition["spec"]["versions"]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"][part]
    return found


def plain(schema: Any) -> Any:
    """OpenAPI's words as JSON schema's: a bound is exclusive by a value of its own, unknown fields are refused."""
    if isinstance(schema, list):
        return [plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: plain(one) for key, one in schema.items() if not key.startswith("x-")}
    for bound in ("Minimum", "Maximum"):
        if made.pop(f"exclusive{bound}", False) is True:
            made[f"exclusive{bound}"] = made.pop(bound.lower())
    if made.pop("nullable", False) is True:
        made = {"anyOf": [made, {"type": "null"}]}
    if isinstance(made.get("properties"), dict):
        made.setdefault("additionalProperties", False)
    return made


def bounds(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A field's words that bound it, in either's schema."""
    if "$ref" in schema:
        schema = {**definitions[schema["$ref"].rpartition("/")[2]], **{k: v for k, v in schema.items() if k != "$ref"}}
    if "anyOf" in schema:
        (schema,) = (one for one in schema["anyOf"] if one.get("type") != "null")
        return bounds(schema, definitions)
    found = {
        key: schema[key]
        for key in ("pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems")
        if key in schema
    }
    if "items" in schema and isinstance(schema["items"], dict):
        found["items"] = bounds(schema["items"], definitions)
    if "prefixItems" in schema:
        first, second = (bounds(one, definitions) for one in schema["prefixItems"])
        assert first == second
        found["items"] = first
    if "enum" in schema:
        found["enum"] = sorted(schema["enum"])
    if "properties" in schema:
        found["properties"] = {key: bounds(one, definitions) for key, one in schema["properties"].items()}
        found["required"] = sorted(schema.get("required", []))
    return found


def test_every_field_has_the_structs_name_bounds_and_default(definition: dict[str, Any]) -> None:
    ours = plain(schema_of(definition, "spec"))
    theirs = msgspec.json.schema(Spec)
    definitions = theirs["$defs"]
    spec = definitions["Spec"]
    assert ours["properties"].keys() == spec["properties"].keys()
    assert sorted(ours["required"]) == sorted(spec["required"])
    assert ours["additionalProperties"] is False and spec["additionalProperties"] is False
    for name, theirs_field in spec["properties"].items():
        here, there = bounds(ours["properties"][name], {}), bounds(theirs_field, definitions)
        if name in BY_RULES:
            narrow(here, there)
        if name == "guardrails":
            assert here.pop("maxItems") == len(Metric) - 1, "each of them once"
        assert here == there, name
    defaults = parse(experiment()).spec
    given = {name: one["default"] for name, one in ours["properties"].items() if "default" in one}
    given["primary"] = {name: one["default"] for name, one in ours["properties"]["primary"]["properties"].items()}
    assert msgspec.convert({"candidate": GOOD, **given}, Spec) == defaults
    assert spec["properties"].keys() - given.keys() == {"candidate", "decision"}


def narrow(here: dict[str, Any], there: dict[str, Any]) -> None:
    """Check and take out the metrics, which are all of the struct's but those that `parse` refuses by a rule."""
    mine = here.get("items", here)["properties"]["metric"].pop("enum")
    all_of_them = there.get("items", there)["properties"]["metric"].pop("enum")
    refused = {"engagement"} if "items" in here else set(all_of_them) - {"engagement"}
    assert set(mine) == set(all_of_them) - refused


def test_what_must_not_change_is_held_by_a_rule(definition: dict[str, Any]) -> None:
    fields = schema_of(definition, "spec")["properties"]
    held = {
        name
        for name, one in fields.items()
        if any(rule["rule"] == "self == oldSelf" for rule in one.get("x-kubernetes-validations", []))
    }
    assert held == set(FIXED)


@pytest.mark.parametrize("case", VALID)
def test_what_is_valid_here_is_valid_there(definition: dict[str, Any], case: str) -> None:
    jsonschema = pytest.importorskip("jsonschema_rs")
    validator = jsonschema.validator_for(plain(schema_of(definition, "spec")))
    spec = experiment(**VALID[case])["spec"]
    if spec.get("decision", "") is not None:  # the API server's schema speaks of null in a word of its own
        validator.validate(spec)
    parse(experiment(**VALID[case]))


@pytest.mark.parametrize("case", BY_SCHEMA)
def test_what_is_refused_here_is_refused_there(definition: dict[str, Any], case: str) -> None:
    jsonschema = pytest.importorskip("jsonschema_rs")
    validator = jsonschema.validator_for(plain(schema_of(definition, "spec")))
    assert not validator.is_valid(experiment(**BY_SCHEMA[case])["spec"])
    with pytest.raises(InvalidExperiment):
        parse(experiment(**BY_SCHEMA[case]))


def dry_run(server: ApiServer, found: dict[str, Any]) -> dict[str, Any]:
    return server.ask("POST", f"{EXPERIMENTS}?dryRun=All&fieldValidation=Strict", found)


@pytest.mark.parametrize("case", VALID)
def test_the_api_server_takes_what_is_valid(server: ApiServer, case: str) -> None:
    made = dry_run(server, experiment(**VALID[case]))
    assert parse(made).spec == parse(experiment(**VALID[case])).spec, "its defaults are ours"


@pytest.mark.parametrize("case", INVALID)
def test_the_api_server_refuses_what_is_not(server: ApiServer, case: str) -> None:
    with pytest.raises(InvalidExperiment):
        parse(experiment(**INVALID[case]))
    with pytest.raises(Refused) as refused:
        dry_run(server, experiment(**INVALID[case]))
    assert refused.value.status == 422


def test_the_api_server_refuses_unknown_fields(server: ApiServer) -> None:
    with pytest.raises(Refused, match="unknown field"):
        dry_run(server, experiment(shares=[0.5]))


@pytest.mark.parametrize(("name", "taken"), NAMES.items())
def test_names_are_short(server: ApiServer, name: str, taken: bool) -> None:
    if taken:
        parse(experiment(name))
        dry_run(server, experiment(name))
        return
    with pytest.raises(InvalidExperiment):
        parse(experiment(name))
    with pytest.raises(Refused, match="40 characters"):
        dry_run(server, experiment(name))


def test_what_laptops_write_is_taken(server: ApiServer) -> None:
    dry_run(server, document(parse(experiment())))


CHANGES: dict[str, Any] = {
    "candidate": OTHER, "stable": OTHER, "salt": "other", "traffic": [0.0, 0.5], "primary": {"margin": 0.1},
    "guardrails": [], "alpha": 0.1, "window": "2h", "share": [0.1, 0.5], "stepAfter": "1s", "deadline": "1d",
    "paused": True, "decision": "promote",
}  # fmt: skip


@pytest.mark.parametrize("field", CHANGES)
def test_an_experiment_that_is_there_changes_where_it_may(server: ApiServer, field: str) -> None:
    server.ask("POST", EXPERIMENTS, experiment())
    name = msgspec.structs.fields(Spec)
    fixed = {one.encode_name for one in name if one.name in FIXED}

    def change() -> dict[str, Any]:
        patch = {"spec": {field: CHANGES[field]}}
        return server.ask("PATCH", f"{EXPERIMENTS}/new-model", patch, "application/merge-patch+json")

    if field in fixed:
        with pytest.raises(Refused, match="cannot change while the experiment runs"):
            change()
    else:
        assert parse(change()).spec != parse(experiment()).spec


STATUS = Status(
    phase=Phase.RUNNING, reason="runs", next="says nothing yet", stable=OTHER, candidate=GOOD, share=0.25, step=1,
    created_ms=1_700_000_000_000, started_ms=1_700_000_001_000, step_since_ms=1_700_000_002_000, decided_ms=3,
    data_ms=1_700_000_003_000, finished=True, viewers={"stable": 300, "candidate": 100},
    requests={"stable": 600, "candidate": 200}, effect=Bounds(value=0.01, lower=-1e-07, upper=0.02),
    lift=Bounds(value=0.0123, lower=-0.001, upper=0.03), sample_ratio=SampleRatio(1 / 3, 0.25, 0.2501),
    coverage={"stable": 0.9999},
    guardrails=(GuardrailStatus(metric="errors", margin=0.01, difference=Bounds(value=0.0), holds=False),),
    before={"stable": (7, 1), "candidate": (0, 0)},
)  # fmt: skip
"""Everything another value than the default."""


def test_a_status_is_the_same_when_it_is_read_again(server: ApiServer, definition: dict[str, Any]) -> None:
    plain_status = msgspec.to_builtins(STATUS)
    default = msgspec.to_builtins(Status())
    assert all(plain_status[name] != default[name] for name in default), "a field that this test does not try"
    server.ask("POST", EXPERIMENTS, experiment())
    patch = {"status": written(STATUS)}
    server.ask("PATCH", f"{EXPERIMENTS}/new-model/status?fieldValidation=Strict", patch, "application/merge-patch+json")
    found = server.ask("GET", f"{EXPERIMENTS}/new-model")["status"]
    assert msgspec.convert(found, Status) == STATUS
    properties = schema_of(definition, "status")["properties"]
    assert properties.keys() - {"shown"} == plain_status.keys()
    assert properties["phase"]["enum"] == [str(one) for one in Phase]


def test_kubectl_shows_where_it_stands(server: ApiServer) -> None:
    server.ask("POST", EXPERIMENTS, experiment())
    patch = {"status": written(STATUS)}
    server.ask("PATCH", f"{EXPERIMENTS}/new-model/status", patch, "application/merge-patch+json")
    table = server.ask("GET", EXPERIMENTS, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    columns = {one["name"]: one for one in table["columnDefinitions"]}
    (row,) = table["rows"]
    shown = {
        name: cell
        for (name, column), cell in zip(columns.items(), row["cells"], strict=True)
        if column["priority"] == 0 and name != "Age"
    }
    assert shown == {
        "Name": "new-model", "Phase": "Running", "Share": "25%", "Viewers": 100, "Lift": "+1.23%", "Lower": "-0.10%",
        "Upper": "+3.00%",
    }  # fmt: skip
    assert [name for name, one in columns.items() if one["priority"] == 1] == ["Reason", "Next", "Candidate"]
