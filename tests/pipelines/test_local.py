"""Pipelines run here for real: kfp's local runner, a process a step, SeaweedFS behind them."""

import builtins
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from interest.catalog import Catalog
from pipelines.errors import InvalidArgument, RunFolderUnusable, StepFailed
from pipelines.local import LOG, Outcome, _failure, run
from pipelines.training import training
from tests.pipelines.small import fetch, films, own, ungated, world
from tests.waiting import until
from wire.models import latest
from wire.objects import ObjectStore

ROOT = Path(__file__).parents[2]
STEPS = {"download", "render_videos", "merge_catalogs", "preprocess_text", "simulate_user_logs", "build_dataset"}
TINY = {"world_videos": 6, "viewers": 10, "seed": 11}
SMALL = {
    "world_videos": 40, "viewers": 60, "events_per_viewer": 30, "content_epochs": 1, "epochs": 1,
    "threads": 1, "bootstrap_resamples": 10,
}  # fmt: skip


@pytest.fixture(scope="module")
def environment(object_store_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    cache = tmp_path_factory.mktemp("cache")
    return {
        **object_store_env, "RAPT_S3_BUCKET": "pipelines", "OMP_NUM_THREADS": "1",
        "RAPT_CACHE": str(cache), "RAPT_CACHE_DIR": str(cache),
    }  # fmt: skip


@pytest.fixture(scope="module")
def first(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(world, TINY, tmp_path_factory.mktemp("first"), environment)


def missed(outcome: Outcome) -> set[str]:
    return {name for name, step in outcome.steps.items() if not step.cached}


def test_every_step_runs_and_tells_its_outcome(first: Outcome) -> None:
    assert set(first.steps) == STEPS
    assert "render_videos" in missed(first)
    assert first.steps["download"].result["videos"] == 0
    assert first.steps["simulate_user_logs"].result["impressions"] == 120
    catalog = Catalog.read(Path(first.steps["merge_catalogs"].outputs["catalog"]))
    assert [video.video_id for video in catalog] == [f"sim-{row:05d}" for row in range(6)]


def test_nothing_is_done_twice(first: Outcome, environment: dict[str, str], tmp_path: Path) -> None:
    again = run(world, TINY, tmp_path, environment)

    assert again.cached and set(again.steps) == STEPS
    for name, step in again.steps.items():
        assert step.result == first.steps[name].result


def test_what_stands_on_a_changed_parameter_is_done_again(
    first: Outcome, environment: dict[str, str], tmp_path: Path
) -> None:
    assert missed(run(world, {**TINY, "viewers": 11}, tmp_path, environment)) == {
        "simulate_user_logs",
        "build_dataset",
    }


def test_what_stands_on_a_changed_file_is_done_again(
    first: Outcome, environment: dict[str, str], tmp_path: Path
) -> None:
    """The list keeps its name, and then the list too: only the content of the video beside it changes."""
    store = ObjectStore.from_env(environment)
    made = Catalog.read(Path(first.steps["render_videos"].outputs["catalog"])).videos
    listed = tmp_path / "python3 films.csv"
    listed.write_text("path,caption,video_id\nmine.mp4,My film,mine\n")
    given = {"videos": str(listed)}

    store.get_file(store.key(made[0].uri), tmp_path / "mine.mp4")
    before = run(fetch, given, tmp_path / "run", environment)
    same = run(fetch, given, tmp_path / "run", environment)
    store.get_file(store.key(made[1].uri), tmp_path / "mine.mp4")
    after = run(fetch, given, tmp_path / "run", environment)

    assert [before.cached, same.cached, after.cached] == [False, True, False]
    assert Catalog.read(Path(after.steps["download"].outputs["catalog"]))["mine"].uri == made[1].uri


def test_own_videos_and_logs_come_in(first: Outcome, environment: dict[str, str], tmp_path: Path) -> None:
    store = ObjectStore.from_env(environment)
    made = Catalog.read(Path(first.steps["render_videos"].outputs["catalog"])).videos
    for video in made:
        store.get_file(store.key(video.uri), tmp_path / f"{video.video_id}.mp4")
    rows = [f"{video.video_id}.mp4,{video.video_id},{video.published_at_ms}" for video in made]
    (tmp_path / "films.csv").write_text("\n".join(["path,video_id,published_at", *rows]))
    logs = Path(first.steps["simulate_user_logs"].outputs["events"]) / "events.parquet"

    outcome = run(own, {"videos": str(tmp_path / "films.csv"), "source": str(logs)}, tmp_path / "run", environment)

    counts = outcome.steps["import_user_logs"].result
    assert counts["rejected"] == 0 and counts["rows"] == first.steps["simulate_user_logs"].result["events"]
    for step in ("preprocess_video", "preprocess_audio"):
        assert outcome.steps[step].result == {"videos": 6, "rejected": 0}


def test_what_stands_on_changed_code_is_done_again(first: Outcome, environment: dict[str, str], tmp_path: Path) -> None:
    copy = tmp_path / "packages"
    for package in ("components", "interest", "wire"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "interest" / "datasets" / "samples.py").open("a") as file:
        file.write("\nCHANGED = True\n")

    changed = run(world, TINY, tmp_path / "run", {**environment, "PYTHONPATH": str(copy)})

    assert missed(changed) == {"build_dataset"}


@pytest.mark.slow
def test_a_killed_step_goes_on_where_it_was(environment: dict[str, str], tmp_path: Path) -> None:
    """Files of the first 64 videos vanish after the kill: had the second run rendered them, they would be back."""
    mine = {**environment, "RAPT_S3_BUCKET": "killed"}
    store = ObjectStore.from_env(mine)

    with pytest.raises(StepFailed, match=r"^render_videos: the process died without a word.*log\.txt"):
        run(films, {}, tmp_path, mine, watch=when(rendered(tmp_path, 65), kill_step))
    assert not list(tmp_path.glob("artifacts/**/videos.jsonl"))
    assert not list(store.list("steps/"))
    early = set(store.list("videos/"))
    for key in early:
        store.delete(key)
    outcome = run(films, {}, tmp_path, mine)

    assert outcome.steps["render_videos"].result == {"videos": 80}
    uris = [video.uri for video in Catalog.read(Path(outcome.steps["render_videos"].outputs["catalog"]))]
    assert len(set(uris)) == 80
    assert not set(map(store.key, uris[:64])) & set(store.list("videos/"))
    assert set(map(store.key, uris[64:])) <= set(store.list("videos/"))


def test_a_failing_step_tells_its_reason_at_once(environment: dict[str, str], tmp_path: Path) -> None:
    missing = "s3://pipelines/no/such/list.csv"

    with pytest.raises(StepFailed, match=r"^download: ObjectNotFound: .*no/such/list\.csv.* \(log: .*log\.txt\)$"):
        run(fetch, {"videos": missing}, tmp_path, environment)

    events = [json.loads(line)["event"] for line in (tmp_path / "download.jsonl").read_text().splitlines()]
    assert events == ["started", "failed"]
    assert "Traceback" in (tmp_path / LOG).read_text()


@pytest.mark.parametrize("background", [False, True])
def test_what_stops_the_watcher_stops_the_steps(background: bool, environment: dict[str, str], tmp_path: Path) -> None:
    """In the background of a shell too, where all that we start begins deaf to SIGINT."""
    hearing = signal.signal(signal.SIGINT, signal.SIG_IGN if background else signal.default_int_handler)
    earlier, seen = set(psutil.Process().children(recursive=True)), list[psutil.Process]()

    def interrupt() -> None:
        seen.extend(psutil.Process().children(recursive=True))
        raise KeyboardInterrupt

    mine = {**environment, "RAPT_S3_BUCKET": f"stopped-{background}".lower()}
    try:
        with pytest.raises(KeyboardInterrupt):
            run(films, {}, tmp_path, mine, watch=when(rendered(tmp_path, 0), interrupt))
    finally:
        signal.signal(signal.SIGINT, hearing)

    steps = set(seen) - earlier
    assert steps
    assert not psutil.wait_procs(steps, timeout=60)[1]
    assert not list(tmp_path.glob("artifacts/**/videos.jsonl"))


def test_nothing_is_left_among_temporary_files(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary, seen = tmp_path / "tmp", set[Path]()
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    run(films, {}, tmp_path / "run", environment, watch=lambda: seen.update(temporary.glob("*/*")))
    assert seen
    assert not list(temporary.iterdir())


def test_the_steps_end_when_the_program_that_runs_them_is_killed(environment: dict[str, str], tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pipelines.local import run;"
        "from tests.pipelines.small import films; run(films, {}, Path(sys.argv[1]), {'RAPT_S3_BUCKET': 'orphans'})"
    )
    program = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, env={**os.environ, **environment})
    try:
        until(rendered(tmp_path, 0))
        steps = psutil.Process(program.pid).children(recursive=True)
    finally:
        program.kill()
        program.wait()

    assert steps
    assert not psutil.wait_procs(steps, timeout=60)[1]


def test_what_kfp_patches_stays_out_of_our_process(
    first: Outcome, environment: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    printer, handlers, level = builtins.print, logging.getLogger().handlers[:], logging.getLogger().level

    run(fetch, {}, tmp_path, environment)

    assert capfd.readouterr() == ("", "")
    assert builtins.print is printer
    assert (logging.getLogger().handlers, logging.getLogger().level) == (handlers, level)
    assert "RAPT_RUN_DIR" not in os.environ
    assert "finished with status" in (tmp_path / LOG).read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"viewer": 3}, r"no parameter 'viewer': did you mean viewers\?"),
        ({"viewers": "3"}, r"viewers='3' is not of the type number_integer"),
        ({"viewers": True}, r"viewers=True is not of the type"),
        ({"videos": "none/such.csv"}, r"videos='none/such.csv' names no file"),
    ],
)
def test_wrong_arguments_are_named_before_anything_runs(
    arguments: dict[str, object], told: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidArgument, match=told):
        run(world, arguments, tmp_path / "run", {})
    assert not (tmp_path / "run").exists()


def test_an_unusable_run_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(RunFolderUnusable, match="taken"):
        run(fetch, {}, tmp_path / "taken", {})


@pytest.mark.parametrize(
    ("journal", "told"),
    [
        ("", "the process died without a word"),
        ('{"event": "sta', "the process died without a word"),
        ('{"event": "started"}\n{"event": "progr', "the process died without a word"),
        ('{"event": "failed", "error": "Gone", "reason": "away"}\n{"eve', "Gone: away"),
    ],
)
def test_a_torn_journal_does_not_hide_why_a_run_failed(journal: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(journal)
    (tmp_path / LOG).write_text("")
    assert str(_failure(tmp_path)).startswith(f"train: {told}")


@pytest.mark.slow
def test_the_training_pipeline_runs_whole(environment: dict[str, str], tmp_path: Path) -> None:
    made = run(training, SMALL, tmp_path / "first", environment)
    again = run(training, SMALL, tmp_path / "again", environment)

    assert ("publish" in made.steps) == (made.steps["evaluate"].result["verdict"] == "publish")
    assert again.cached
    assert again.steps["train"].result == made.steps["train"].result


@pytest.mark.slow
def test_a_model_is_published_under_its_digest(environment: dict[str, str], tmp_path: Path) -> None:
    published = run(ungated, SMALL, tmp_path, environment).steps["publish"].result

    assert latest(ObjectStore.from_env(environment)) == published["digest"]


def when(condition: Callable[[], bool], act: Callable[[], None]) -> Callable[[], None]:
    """A watcher that acts once."""
    acted: list[bool] = []

    def watch() -> None:
        if not acted and condition():
            acted.append(True)
            act()

    return watch


def rendered(folder: Path, count: int) -> Callable[[], bool]:
    """Whether the render step of the run in `folder` has told of `count` videos, or of its beginning for 0."""

    def told() -> bool:
        journal = folder / "render_videos.jsonl"
        lines = journal.read_text().splitlines() if journal.exists() else []
        return any(json.loads(line).get("done", -1) >= count for line in lines)

    return told


def kill_step() -> None:
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # one that has ended meanwhile, of which there is no command line
            if "kfp.dsl.executor_main" in process.cmdline() and "python" in process.name():
                process.kill()
