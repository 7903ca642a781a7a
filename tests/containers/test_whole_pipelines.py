"""The pipelines that users run, whole, in the training image: with the gate, and with a kill while the model learns."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from components.journal import read_lines
from interest.catalog import Catalog
from pipelines.compile import find
from pipelines.local import run
from tests.containers.steps import Containers, Run, shared
from tests.containers.test_training_image import outcomes
from tests.trained import SMALL
from wire.objects import ObjectStore

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

SIZES = {"content_epochs": 1, "epochs": 1, "bootstrap_resamples": 10}


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


def test_training_from_logs_ends_after_a_kill_with_the_laptops_bytes(
    trained_in_containers: Run, containers_env: dict[str, str], tmp_path: Path
) -> None:
    """With as many threads as users have: two, and no OMP_NUM_THREADS."""
    environment = {name: value for name, value in containers_env.items() if name != "OMP_NUM_THREADS"}
    folder = shared(tmp_path / "logs")
    given = SIZES | own_files(trained_in_containers, ObjectStore.from_env(environment), folder / "artifacts")
    pipeline = find("training_from_logs")

    first = Containers(pipeline, given, folder, environment)
    try:
        until(lambda: learns(folder) or first.process.poll() is not None)
        subprocess.run(["docker", "kill", *first.running()], check=True, capture_output=True)
    finally:
        killed = first.wait()
    assert killed.failures["train"] == "died", killed.log[-2000:]
    assert not killed.steps.keys() & {"train", "evaluate", "publish"}

    second = Containers(pipeline, given, folder, environment).wait()
    assert second.failures == {}, second.log[-2000:]
    assert {name for name, step in second.steps.items() if step.cached} == killed.steps.keys()
    assert second.steps.keys() - killed.steps.keys() >= {"train", "evaluate"}

    anew = {**environment, "RAPT_NO_CACHE": "1", "RAPT_CACHE": str(tmp_path / "cache")}
    here = run(pipeline, given, tmp_path / "here", anew)
    assert not any(step.cached for step in here.steps.values())
    theirs, ours = outcomes(second.steps), outcomes(here.steps)
    assert theirs.keys() == ours.keys()
    assert [name for name in theirs if theirs[name] != ours[name]] == []


def own_files(made: Run, store: ObjectStore, seen: Path) -> dict[str, str]:
    """Arguments for the videos and logs of a run: the videos in `seen`, which containers see, the logs in the store."""
    store.put_file("inputs/whole.parquet", Path(made.steps["simulate_user_logs"].outputs["events"]) / "events.parquet")
    rows = ["path,video_id,published_at"]
    for video in Catalog.read(Path(made.steps["render_videos"].outputs["catalog"])):
        store.get_file(store.key(video.uri), seen / f"{video.video_id}.mp4")
        rows.append(f"{video.video_id}.mp4,{video.video_id},{video.published_at_ms}")
    (seen / "films.csv").write_text("\n".join(rows))
    return {"videos": str(seen / "films.csv"), "source": store.uri("inputs/whole.parquet")}


def learns(folder: Path) -> bool:
    """Whether the model's last stage has begun; writing the model takes seconds more."""
    journal = folder / "artifacts" / "journals" / "train.jsonl"
    return journal.exists() and any(line.get("label") == "fusion" for line in read_lines(journal.read_bytes()))


def until(condition: Callable[[], bool], deadline_s: float = 200.0) -> None:
    """Wait until it holds."""
    give_up_at = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)
