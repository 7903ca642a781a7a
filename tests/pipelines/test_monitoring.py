"""The monitoring pipeline for real, by kfp's local runner."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.report_drift.step import HTML, NOTHING
from pipelines.known import PIPELINES
from pipelines.local import Outcome, run
from tests.monitoring.reports.conftest import Served, reports_env, served  # noqa: F401 - fixtures
from wire import reports


def ran(environment: dict[str, str], folder: Path) -> tuple[dict[str, object], str]:
    done: Outcome = run(PIPELINES["monitoring"], {}, folder, environment)
    step = done.steps["report_drift"]
    return step.result, Path(step.outputs["page"]).read_text()


@pytest.mark.slow
def test_a_report_is_kept_and_its_page_is_an_artifact(served: Served, tmp_path: Path) -> None:  # noqa: F811
    served.observe(1)
    result, page = ran(served.environment, tmp_path / "run")
    (kept,) = reports.newest(served.store)
    assert (result["verdict"], result["report"]) == ("steady", kept.name)
    assert page == served.store.get_bytes(kept.files[HTML]).decode()
    again, _ = ran(served.environment, tmp_path / "again")
    assert again["report"] != kept.name, "it depends on the time, and is never taken from the cache"


def test_without_a_model_there_is_nothing_to_report(reports_env: dict[str, str], tmp_path: Path) -> None:  # noqa: F811
    result, page = ran(reports_env, tmp_path / "run")
    assert (result["verdict"], page) == ("unknown", NOTHING)
