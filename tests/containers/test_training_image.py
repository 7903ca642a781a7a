"""Every component in its real image: the same bytes as on the laptop, and nothing done twice between the two."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from components.runtime import tree_digest
from interest.catalog import Catalog
from interest.simulator.world import VideoLatents
from pipelines.known import PIPELINES
from pipelines.local import StepOutcome, run
from rapt.cluster.create import IMAGES, build
from rapt.credentials import Credentials
from rapt.service import stop
from tests.conftest import start_store
from tests.containers.steps import Containers, Ended, Run, shared
from tests.observed import observe
from tests.pipelines.small import fetch, films, own, ungated
from tests.trained import SMALL
from tests.waiting import until
from wire import reports
from wire.models import fetch_bundle, latest
from wire.objects import ObjectStore
from wire.proposals import proposed

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def outcomes(steps: Mapping[str, Ended | StepOutcome]) -> dict[str, tuple[object, dict[str, str]]]:
    """Of each step, what it told and the digest of each artifact."""
    return {
        name: (step.result, {key: tree_digest(Path(path)) for key, path in step.outputs.items()})
        for name, step in steps.items()
    }


def test_the_same_inputs_make_the_same_artifacts_in_containers_and_on_the_laptop(
    trained_in_containers: Run, containers_env: dict[str, str], tmp_path: Path
) -> None:
    anew = {**containers_env, "RAPT_NO_CACHE": "1", "RAPT_CACHE": str(tmp_path / "cache")}
    here = run(ungated, SMALL, tmp_path / "run", anew)
    assert not any(step.cached for step in here.steps.values())
    for name, step in trained_in_containers.steps.items():
        print(f"{name:20} {step.seconds:6.1f} s in a container, {here.steps[name].seconds:6.1f} s here")
    theirs, ours = outcomes(trained_in_containers.steps), outcomes(here.steps)
    assert [name for name in theirs if theirs[name] != ours[name]] == []
    store = ObjectStore.from_env(containers_env)
    assert latest(store) == here.steps["publish"].result["digest"]


def test_what_containers_did_is_not_done_again_on_the_laptop_nor_the_other_way(
    trained_in_containers: Run, containers_env: dict[str, str], tmp_path: Path
) -> None:
    here = run(ungated, SMALL, tmp_path / "run", {**containers_env, "RAPT_CACHE": str(tmp_path / "cache")})
    assert {name for name, step in here.steps.items() if not step.cached} == set()
    again = Containers(ungated, SMALL, shared(tmp_path / "again"), containers_env).wait()
    assert again.steps.keys() == here.steps.keys(), again.failures
    assert {name for name, step in again.steps.items() if not step.cached} == set()


def test_videos_and_logs_of_ones_own_come_in(
    trained_in_containers: Run, containers_env: dict[str, str], tmp_path: Path
) -> None:
    """The logs from the store; the videos by path, from the one folder that the containers see."""
    store = ObjectStore.from_env(containers_env)
    logs = Path(trained_in_containers.steps["simulate_user_logs"].outputs["events"]) / "events.parquet"
    store.put_file("inputs/events.parquet", logs)
    folder = shared(tmp_path / "own")
    rows = ["path,video_id,published_at"]
    for video in Catalog.read(Path(trained_in_containers.steps["render_videos"].outputs["catalog"])).videos:
        store.get_file(store.key(video.uri), folder / "artifacts" / f"{video.video_id}.mp4")
        rows.append(f"{video.video_id}.mp4,{video.video_id},{video.published_at_ms}")
    (folder / "artifacts" / "films.csv").write_text("\n".join(rows))
    given = {"videos": str(folder / "artifacts" / "films.csv"), "source": store.uri("inputs/events.parquet")}
    brought = Containers(own, given, folder, containers_env).wait()
    assert brought.failures == {}, brought.log[-2000:]
    counts, simulated = (run.result for run in (brought.steps["import_user_logs"],
                                                trained_in_containers.steps["simulate_user_logs"]))  # fmt: skip
    assert (counts["rejected"], counts["rows"]) == (0, simulated["events"])


@pytest.fixture(scope="module")
def retrained(
    trained_in_containers: Run, containers_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """The retraining pipeline, a container a step, after the viewers have become harder to please."""
    store, folder = ObjectStore.from_env(containers_env), tmp_path_factory.mktemp("retrained")
    bundle = fetch_bundle(store, latest(store), folder / "cache")
    dataset = Path(trained_in_containers.steps["build_dataset"].outputs["dataset"])
    observe(store, 1, bundle, Catalog.read(dataset), VideoLatents.read(dataset), 1, b0=-2.5)
    given = {"trigger": "now", "threads": 1, "bootstrap_resamples": 100}
    return Containers(PIPELINES["retraining"], given, shared(folder / "run"), containers_env).wait()


def test_a_model_that_lost_touch_gets_a_candidate(retrained: Run, containers_env: dict[str, str]) -> None:
    assert retrained.failures == {}, retrained.log[-2000:]
    assert retrained.steps["compare"].result["verdict"] == "better", retrained.steps["compare"].result
    (asked,) = proposed(ObjectStore.from_env(containers_env))
    assert asked.name == retrained.steps["propose"].result["experiment"]


@pytest.fixture(scope="module")
def reported(retrained: Run, containers_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The monitoring pipeline, on what the model's viewers did."""
    return Containers(
        PIPELINES["monitoring"], {}, shared(tmp_path_factory.mktemp("reported") / "run"), containers_env
    ).wait()


def test_the_monitoring_pipeline_leaves_a_report(reported: Run, containers_env: dict[str, str]) -> None:
    assert reported.failures == {}, reported.log[-2000:]
    step = reported.steps["report_drift"]
    (made,) = reports.newest(ObjectStore.from_env(containers_env), 1)
    assert (step.result["report"], made.model) == (made.name, latest(ObjectStore.from_env(containers_env)))
    assert Path(step.outputs["page"]).stat().st_size > 1_000_000


def test_every_component_of_the_pipelines_ran(trained_in_containers: Run, retrained: Run, reported: Run) -> None:
    named = {
        name.removeprefix("comp-").replace("-", "_")
        for pipeline in PIPELINES.values()
        for name, one in pipeline.pipeline_spec.components.items()
        if one.WhichOneof("implementation") == "executor_label"
    }
    assert named - trained_in_containers.steps.keys() - retrained.steps.keys() - reported.steps.keys() == {
        "import_user_logs"
    }


def test_a_bad_input_is_told(training_image: str, containers_env: dict[str, str], tmp_path: Path) -> None:
    given = {"videos": "s3://containers/there-is-none.csv"}
    failed = Containers(fetch, given, shared(tmp_path / "failed"), containers_env).wait()
    assert failed.steps == {}
    assert "there-is-none.csv" in failed.failures["download"]


def test_after_a_killed_container_the_next_run_ends_as_if_nothing_had_happened(
    trained_in_containers: Run, containers_env: dict[str, str], tmp_path: Path
) -> None:
    """In a store of its own, where nothing is done yet; its bucket has the same name, which catalogues hold."""
    keys = Credentials(containers_env["AWS_ACCESS_KEY_ID"], containers_env["AWS_SECRET_ACCESS_KEY"])
    store = start_store(tmp_path / "store", keys)
    apart, folder = {**containers_env, "RAPT_S3_ENDPOINT": store.address}, shared(tmp_path / "killed")
    try:
        first = Containers(films, {"world_videos": SMALL["world_videos"]}, folder, apart)
        try:
            until(lambda: first.began("render_videos") and bool(first.running()))
            subprocess.run(["docker", "kill", *first.running()], check=True, capture_output=True)
        finally:
            killed = first.wait()
        assert killed.failures == {"render_videos": "died"}
        second = Containers(films, {"world_videos": SMALL["world_videos"]}, folder, apart).wait()
        theirs, ours = (
            outcomes({"render_videos": run.steps["render_videos"]}) for run in (second, trained_in_containers)
        )
        assert theirs == ours
    finally:
        stop(store.name, tmp_path / "store" / "run", grace_s=0.1)


@pytest.mark.parametrize(
    ("name", "imports"),
    [("training", "torch, torchaudio, kfp.dsl.executor_main, transformers, av, cv2, yt_dlp"),
     ("monitoring", "evidently, streamlit, grafana_api, monitoring")],
)  # fmt: skip
def test_an_image_holds_what_it_needs_and_no_more(training_image: str, name: str, imports: str) -> None:
    build(name, IMAGES[name])
    found = json.loads(
        subprocess.run(["docker", "image", "inspect", IMAGES[name]], capture_output=True, check=True).stdout
    )
    (about,) = found
    print(f"{IMAGES[name]}: {about['Size'] / 1e9:.2f} GB")
    assert about["Config"]["User"] == "10001:10001"
    assert about["Config"]["Labels"]["org.opencontainers.image.title"] == f"Rapt: {name}"
    program = f"""
import {imports}
import importlib.util, json, os, shutil
tools = [one for one in ("gcc", "cc", "uv") if shutil.which(one)]
print(json.dumps([tools, importlib.util.find_spec("pip") is None, os.getuid(),
                  len(json.load(open("/opt/rapt/sbom.cdx.json"))["components"])]))
"""
    closed = ("--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL")  # noqa: S108 - the container's own
    command = ["docker", "run", *closed, IMAGES[name], "python", "-c"]
    said = subprocess.run([*command, program], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr[-2000:]
    tools, without_pip, user, listed = json.loads(said.stdout.splitlines()[-1])
    assert (tools, without_pip, user) == ([], True, 10001)
    assert listed > 100
    history = ["docker", "history", "--no-trunc", IMAGES[name]]
    told = subprocess.run(history, capture_output=True, text=True, check=True).stdout.lower()
    assert "secret" not in told and "password" not in told and "token" not in told
