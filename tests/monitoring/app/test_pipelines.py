"""The page Pipelines: a laptop's runs, Kubeflow's, and what may fail."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitoring.app.errors import PipelinesUnavailable
from monitoring.app.runs import runs
from monitoring.app.settings import Settings
from pipelines.submit import Cluster
from pipelines.training import training
from tests.monitoring.app import made
from tests.monitoring.app.conftest import Page, read_as_markdown, texts
from tests.monitoring.app.stage import HOSTILE
from tests.pipelines import kubeflow
from tests.pipelines.kubeflow import Frame
from tests.ports import free_ports


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runs of a laptop, none yet."""
    for name in [name for name in os.environ if name.startswith("RAPT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RAPT_RUNS", str(tmp_path))
    return tmp_path


def test_runs_of_this_machine(folder: Path, page: Page) -> None:
    at = page("pipelines")
    assert "No pipeline has run yet" in at.info[0].value
    made.run(folder, "20261126-010203-ab12")
    made.run(folder, "20261126-010203-cd34", reason=HOSTILE)
    (folder / "broken").mkdir()
    (folder / "broken" / "run.json").write_text('{"run_id": ')
    found = runs(Settings.from_env())
    assert {one.run_id: one.state for one in found} == {
        "20261126-010203-ab12": "succeeded", "20261126-010203-cd34": "failed",
    }  # fmt: skip
    (one,) = [run for run in found if run.state == "failed"]
    assert [(step.name, step.state) for step in one.steps] == [("download", "cached"), ("train", "failed")]


def test_a_run_is_shown_with_steps_and_artifacts(folder: Path, page: Page) -> None:
    made.run(folder, "20261126-010203-cd34", reason=HOSTILE)
    at = page("pipelines")
    assert not at.exception and not at.error
    assert {one.label: one.value for one in at.metric} == {"Took": "84.0 s", "Steps": "2 of 2 over"}
    assert at.dataframe[1].value["why"].tolist() == ["", HOSTILE]
    assert at.dataframe[2].value["artifact"].tolist() == ["catalog"]
    assert "training: failed" in texts(at)
    assert "onerror" not in read_as_markdown(at)


def test_a_token_of_two_lines_is_refused_and_not_told(
    folder: Path, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPT_KFP_ENDPOINT", f"http://127.0.0.1:{free_ports()}")
    monkeypatch.setenv("RAPT_KFP_TOKEN", "first-secret\nsecond-secret")
    at = page("pipelines")
    assert "more than one word" in texts(at)
    assert "secret" not in texts(at) + "".join(one.value for one in at.error)


def test_runs_of_kubeflow(folder: Path, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    with kubeflow.running() as (address, api):
        api.film = (Frame("RUNNING", {"download": "SUCCEEDED", "train": "RUNNING"}),)
        cluster = Cluster(address)
        run_id = cluster.submit(training, {}, pipeline_root="s3://bucket/root")
        cluster.run(run_id)
        monkeypatch.setenv("RAPT_KFP_ENDPOINT", address)
        (found,) = runs(Settings.from_env())
        assert (found.run_id, found.state, found.where) == (run_id, "RUNNING", "Kubeflow")
        assert "s3://bucket/root" in found.note
        assert found.seconds is None
        states = {step.name: step.state for step in found.steps}
        assert states["train"] == "RUNNING"
        assert not page("pipelines").exception
        api.token = "secret"
        with pytest.raises(PipelinesUnavailable, match="401"):
            runs(Settings.from_env())
        monkeypatch.setenv("RAPT_KFP_TOKEN", "secret")
        assert len(runs(Settings.from_env())) == 1


def test_what_is_missing_is_said(folder: Path, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPT_KFP_ENDPOINT", f"http://127.0.0.1:{free_ports()}")
    assert page("pipelines").error[0].value == "Kubeflow Pipelines does not answer"
    monkeypatch.delenv("RAPT_KFP_ENDPOINT")
    monkeypatch.delenv("RAPT_RUNS")
    assert "does not know where pipelines run" in page("pipelines").error[0].value
