"""The compiled pipelines are what was agreed on.

After a wanted change: RENEW_GOLDEN=1 python -m pytest tests/pipelines/test_compile.py, and read the difference.
"""

import os
from pathlib import Path

import pytest
import yaml

from components.image import IMAGE
from pipelines.compile import compiled, containers, find
from pipelines.errors import UnknownPipeline
from pipelines.known import PIPELINES
from pipelines.spec import Spec

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_compiles_to_its_golden_file(name: str) -> None:
    file = GOLDEN / f"{name}.yaml"
    text = compiled(find(name))
    if os.environ.get("RENEW_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text(), "renew the golden file if the change is wanted (see this file's first lines)"


def test_every_golden_file_has_its_pipeline() -> None:
    assert {file.stem for file in GOLDEN.glob("*.yaml")} == set(PIPELINES)


@pytest.mark.parametrize("name", PIPELINES)
def test_every_task_asks_for_resources_and_the_keys_of_the_store(name: str) -> None:
    spec = Spec.read(yaml.safe_load_all(compiled(find(name))))
    kubernetes = spec.platform["deploymentSpec"]["executors"]
    for executor, container in spec.containers():
        assert {"resourceCpuRequest", "resourceMemoryRequest", "resourceMemoryLimit"} <= set(container["resources"])
        keys = {pair["envVar"] for secret in kubernetes[executor]["secretAsEnv"] for pair in secret["keyToEnv"]}
        assert keys == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    tries = {task.name: task.fields.get("retryPolicy", {}).get("maxRetryCount", 0) for task in spec.tasks()}
    expected = {"evaluate": 0, "compare": 0, "download": 2}
    steps = {name: count for name, count in tries.items() if not name.startswith("condition")}
    assert steps == {name: expected.get(name, 1) for name in steps}


def test_publishing_waits_for_the_verdict() -> None:
    spec = Spec.read(yaml.safe_load_all(compiled(find("training"))))
    (gate,) = [task for task in spec.tasks() if "triggerPolicy" in task.fields]
    assert gate.fields["triggerPolicy"]["condition"].endswith("evaluate-Output'] == 'publish'")
    assert set(spec.component(gate.component)["dag"]["tasks"]) == {"publish"}


def test_a_retraining_that_is_not_due_ends_and_a_model_that_is_no_better_goes_nowhere() -> None:
    spec = Spec.read(yaml.safe_load_all(compiled(find("retraining"))))
    due, better = (task for task in spec.tasks() if "triggerPolicy" in task.fields)
    assert due.fields["triggerPolicy"]["condition"].endswith("collect-observations-Output'] == 'retrain'")
    assert set(spec.pipeline["root"]["dag"]["tasks"]) == {"collect-observations", due.name}
    assert better.fields["triggerPolicy"]["condition"].endswith("compare-Output'] == 'better'")
    assert set(spec.component(better.component)["dag"]["tasks"]) == {"propose"}


def test_another_registry_holds_every_component() -> None:
    mine = yaml.safe_load_all(compiled(find("training"), "registry.example/rapt@sha256:12"))
    assert {container["image"] for container in containers(next(mine))} == {"registry.example/rapt@sha256:12"}
    assert {container["image"] for container in containers(next(yaml.safe_load_all(compiled(find("training")))))} == {
        IMAGE
    }


def test_an_unknown_pipeline_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownPipeline, match=r"no pipeline 'trainin': did you mean training\?"):
        find("trainin")
