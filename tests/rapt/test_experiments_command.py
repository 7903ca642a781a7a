"""`rapt apply` and `rapt experiments` on a real object store; the loop that decides has tests of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from interest.experiments.decision import Bounds, GuardrailStatus, Phase
from monitoring.experiments.records import StoredRecords
from rapt import cli
from tests.rapt.published import publish
from wire.objects import ObjectStore

EXAMPLE = Path("examples/experiment.yaml")


@pytest.fixture
def store(object_store_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ObjectStore:
    """The store as the user's own, with no experiment in it."""
    env = {**object_store_env, "RAPT_S3_BUCKET": "commands", "RAPT_HOME": str(tmp_path / "home")}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    found = ObjectStore.from_env()
    for key in list(found.list("experiments/")):
        found.delete(key)
    return found


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli.app, arguments, obj=cli.Run())


def test_the_example_begins_an_experiment_and_a_person_steers_it(store: ObjectStore, tmp_path: Path) -> None:
    digest = publish(store, tmp_path / "model", simulated=False)
    assert run("experiments").stdout == ""
    begun = run("apply", "-f", str(EXAMPLE), "--candidate", digest[:8])
    assert begun.exit_code == 0, begun.output
    assert "experiment new-model created" in begun.stdout
    again = run("apply", "-f", str(EXAMPLE), "--candidate", digest[:8], "--json")
    assert json.loads(again.stdout) == {"new-model": "unchanged"}
    assert "Pending" in run("experiments").stdout
    spec = lambda: StoredRecords(store).get("new-model").experiment.spec  # noqa: E731
    assert spec().candidate == digest
    run("experiments", "pause", "new-model")
    assert spec().paused
    run("experiments", "resume", "new-model")
    assert not spec().paused
    refused = run("experiments", "promote", "new-model")
    assert "--force" in str(refused.exception)
    run("experiments", "promote", "new-model", "--force")
    assert spec().decision == "promote"
    run("experiments", "abort", "new-model")
    assert spec().decision == "rollback"
    run("experiments", "delete", "new-model")
    assert "no experiment 'new-model'" in str(run("experiments", "show", "new-model").exception)


def test_what_is_known_of_an_experiment_is_told(store: ObjectStore, tmp_path: Path) -> None:
    digest = publish(store, tmp_path / "model", simulated=False)
    run("apply", "-f", str(EXAMPLE), "--candidate", digest[:8])
    records = StoredRecords(store)
    status = replace(
        records.get("new-model").status, phase=Phase.PROMOTED, finished=True, reason="the lift is above 0",
        viewers={"stable": 950, "candidate": 50}, lift=Bounds(value=0.05, lower=0.01, upper=0.09),
        guardrails=(GuardrailStatus(metric="latency", margin=20.0, difference=Bounds(value=1.0)),),
    )  # fmt: skip
    records.note("new-model", status)
    shown = run("experiments", "show", "new-model").stdout
    for part in ("Promoted", "950 stable, 50 candidate", "+5.00% (+1.00% to +9.00%)", "guardrail latency", "holds"):
        assert part in shown
    followed = run("experiments", "watch", "new-model", "--json")
    assert (followed.exit_code, json.loads(followed.stdout)["status"]["phase"]) == (0, "Promoted")
    records.note("new-model", replace(status, phase=Phase.ROLLED_BACK))
    assert run("experiments", "watch", "new-model").exit_code == 3
    records.note("new-model", replace(status, finished=False))
    assert run("experiments", "watch", "new-model", "--seconds", "0.1").exit_code == 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a: [", "cannot be read as YAML"),
        ("", "holds no experiment"),
        ("kind: Pod", "apiVersion"),
        ("apiVersion: rapt.dev/v1alpha1\nkind: Experiment\nmetadata: {name: x}\nspec: {share: [0.1]}", "candidate"),
    ],
)
def test_a_file_that_is_no_experiment_is_refused_by_name(
    store: ObjectStore, tmp_path: Path, text: str, named: str
) -> None:
    (tmp_path / "x.yaml").write_text(text)
    assert named in str(run("apply", "-f", str(tmp_path / "x.yaml")).exception)
    assert StoredRecords(store).names() == []


def test_a_past_test_is_analysed_and_drawn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["viewer,variant,at,bought"]
    for number in range(12_000):
        treated = rng.random() < 0.5
        bought = rng.random() < (0.4 if treated else 0.3)
        lines.append(
            f"u{number},{'B' if treated else 'A'},2026-01-{1 + number // 2000:02d}T12:00:00Z,{str(bought).lower()}"
        )
    (tmp_path / "log.csv").write_text("\n".join(lines))
    options = ("--stable", "A", "--candidate", "B", "--user-column", "viewer", "--arm-column", "variant",
               "--time-column", "at", "--outcome-column", "bought")  # fmt: skip
    for name in ("lift.svg", "lift.png"):
        found = run("experiments", "analyze", str(tmp_path / "log.csv"), *options, "--share", "0.5", "--json",
                    "--picture", str(tmp_path / name))  # fmt: skip
        assert found.exit_code == 0, found.output
        assert (tmp_path / name).stat().st_size > 5000
    made = json.loads(found.stdout[found.stdout.index("{") :])
    assert made["verdict"].startswith("promoted")
    assert made["status"]["lift"]["lower"] < 1 / 3 < made["status"]["lift"]["upper"]
    assert len(made["looks"]) == 6
    assert "not tested: give --share" in run("experiments", "analyze", str(tmp_path / "log.csv"), *options).stdout
    short = run("experiments", "analyze", str(tmp_path / "log.csv"), *options, "--window", "0s").exception
    assert "a window of 0s is not within 1s and 3650d" in str(short)
    assert "no file" in str(run("experiments", "analyze", str(tmp_path / "none.csv")).exception)
