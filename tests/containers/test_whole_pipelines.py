"""The pipeline that users run, whole, in the training image: with its gate, and nothing done twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.compile import find
from tests.containers.steps import Containers, Run, shared
from tests.containers.test_training_image import outcomes
from tests.trained import SMALL

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def test_training_finds_what_the_same_steps_made_and_keeps_to_its_gate(
    trained_in_containers: Run, containers_env: dict[str, str], tmp_path: Path
) -> None:
    whole = Containers(find("training"), SMALL, shared(tmp_path / "training"), containers_env).wait()
    assert whole.failures == {}, whole.log[-2000:]
    passed = whole.steps["evaluate"].result["verdict"] == "publish"
    made = trained_in_containers.steps
    assert whole.steps.keys() == made.keys() - (set() if passed else {"publish"})
    assert {name for name, step in whole.steps.items() if not step.cached} == set()
    assert outcomes(whole.steps) == {name: outcomes(made)[name] for name in whole.steps}
