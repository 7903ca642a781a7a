"""`rapt pipeline`: a small pipeline run for real with kfp and an object store, and what is refused beforehand."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from kfp import dsl
from typer.testing import CliRunner

from components.download.component import download
from components.merge_catalogs.component import merge_catalogs
from pipelines import watch
from pipelines.compile import step_names
from pipelines.known import PIPELINES
from rapt import cli, runs
from tests.pipelines import kubeflow
from tests.pipelines.kubeflow import Frame, Kubeflow

RAPT = str(Path(sys.executable).with_name("rapt"))


@dsl.pipeline(name="small")
def small(videos: str = "", videos_digest: str = "", max_failed_share: float = 0.5) -> None:
    """Two steps of the training pipeline, the second behind the first."""
    one = download(videos=videos, videos_digest=videos_digest, max_failed_share=max_failed_share)
    one.set_caching_options(False)
    two = merge_catalogs(first=one.outputs["catalog"], second=one.outputs["catalog"])
    two.set_caching_options(False)


@pytest.fixture
def runner(object_store_env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setitem(PIPELINES, "small", small)
    home, cache = str(tmp_path / "home"), str(tmp_path / "cache")
    return CliRunner(
        env={**object_store_env, "RAPT_HOME": home, "RAPT_CACHE": cache, "RAPT_CACHE_DIR": cache, "COLUMNS": "200"}
    )


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A list with one real clip, one row without a file, and one without anything."""
    with av.open(str(tmp_path / "clip.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=12)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for level in range(12):
            picture = np.full((64, 64, 3), 20 * level, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    path = tmp_path / "my.csv"
    path.write_text("path,caption,video_id\nclip.mp4,A clip,mine\nnone.mp4,Gone,gone\n,,\n")
    return path


def invoke(runner: CliRunner, *arguments: str) -> Any:
    return runner.invoke(cli.app, ["pipeline", *arguments])


def refusal(runner: CliRunner, *arguments: str) -> str:
    done = invoke(runner, *arguments)
    assert done.exit_code == 1
    assert isinstance(done.exception, Exception)
    return cli.one_line(done.exception)


def test_a_run_its_artifacts_its_record_and_the_cache(runner: CliRunner, clips: Path, tmp_path: Path) -> None:
    arguments = ("run", "small", "--videos", str(clips), "--param", "max_failed_share=0.9", "--json")
    first = invoke(runner, *arguments)
    assert first.exit_code == 0, first.exception
    document = json.loads(first.stdout)
    assert [step["name"] for step in document["steps"]] == ["download", "merge_catalogs"]
    assert document["steps"][0]["result"]["videos"] == 1
    catalog = Path(document["steps"][1]["artifacts"]["catalog"])
    assert json.loads((catalog / "videos.jsonl").read_text())["video_id"] == "mine"
    folder = tmp_path / "home" / "runs" / document["run_id"]
    assert json.loads((folder / runs.RECORD).read_text()) == document
    assert document["status"] == "succeeded"
    assert "left out: row 2: none.mp4: no such file" in first.stderr
    assert "download: done" in first.stderr

    again = invoke(runner, *arguments)
    assert [step["cached"] for step in json.loads(again.stdout)["steps"]] == [True, True]

    clips.write_text(clips.read_text().replace("A clip", "Another caption"))
    changed = json.loads(invoke(runner, *arguments).stdout)
    assert [step["cached"] for step in changed["steps"]] == [False, False]

    forced = json.loads(invoke(runner, *arguments, "--no-cache").stdout)
    assert [step["cached"] for step in forced["steps"]] == [False, False]


def test_a_failing_step_is_named_and_kept_in_the_record(runner: CliRunner, clips: Path, tmp_path: Path) -> None:
    message = refusal(runner, "run", "small", "--videos", str(clips), "--param", "max_failed_share=0.1")
    assert message.startswith("download: TooManyRejected: 2 of 3 videos were rejected")
    (record,) = (tmp_path / "home" / "runs").glob(f"*/{runs.RECORD}")
    document = json.loads(record.read_text())
    assert document["status"] == "failed"
    assert [step["reason"] for step in document["steps"]][1] == "download failed"
    assert document["steps"][0]["reason"].startswith("TooManyRejected")


def test_the_table_shows_where_artifacts_lie(runner: CliRunner) -> None:
    done = invoke(runner, "run", "small")
    assert done.exit_code == 0, done.exception
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith(("download  ", "merge_catalogs  "))]
    assert [row[:2] for row in rows] == [["download", "catalog"], ["merge_catalogs", "catalog"]]
    assert all(Path(row[2]).is_dir() for row in rows)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("caption\nhello\n", "my.csv lacks a column url or path; its columns are caption"),
        ("", "my.csv is empty"),
        ("path,caption\nnone.mp4,x\n", "no row can be used; first row 1: none.mp4: no such file"),
        ("url,path\nhttp://a.example/v,b.mp4\n", "no row can be used; first row 1: columns url and path"),
    ],
)
def test_a_list_that_cannot_work_starts_nothing(runner: CliRunner, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "my.csv").write_text(content)
    assert message in refusal(runner, "run", "training", "--videos", str(tmp_path / "my.csv"))
    assert not (tmp_path / "home" / "runs").exists()


def test_logs_that_cannot_work_start_nothing(runner: CliRunner, tmp_path: Path) -> None:
    events = tmp_path / "my.parquet"
    pq.write_table(pa.table({"event_id": ["e1"]}), events)
    assert "my.parquet" in refusal(runner, "run", "training", "--events", str(events))
    assert "user_id" in refusal(runner, "run", "training", "--events", str(events))
    layout = refusal(runner, "run", "training", "--events", str(events), "--layout", "kuairec")
    assert layout.startswith("--layout kuairec is a folder")
    assert "no such file or folder" in refusal(runner, "run", "training", "--events", str(tmp_path / "gone"))
    assert "holds no known layout" in refusal(runner, "run", "training", "--events", str(tmp_path))
    assert not (tmp_path / "home" / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "trainig"], "no pipeline 'trainig': did you mean training?"),
        (["run", "training", "--param", "viewer=3"], "did you mean viewers?"),
        (["run", "training", "--param", "viewers=many"], "'many' is no integer"),
        (["run", "training", "--param", "viewers"], "write NAME=VALUE"),
        (["run", "training", "--backbone", "vgg"], "--backbone vgg is unknown; choose cnn3d or efficientnet"),
        (["run", "training", "--videos", "none.csv"], "--videos none.csv: no such file"),
        (["run", "training_from_logs"], "needs source"),
        (["submit", "training"], "RAPT_KFP_ENDPOINT"),
        (["watch", "some-run"], "RAPT_KFP_ENDPOINT"),
        (["schedule", "training"], "give either --cron, such as '0 3 * * *', or --every"),
        (["schedule", "training", "--cron", "0 3 * * *", "--every", "24h"], "give either --cron"),
        (["compile", "training", "-o", "no/such/folder.yaml"], "there is no folder"),
    ],
)
def test_what_cannot_be_meant_is_refused(runner: CliRunner, arguments: list[str], message: str) -> None:
    assert message in refusal(runner, *arguments)


def test_list_names_each_parameter_with_its_default(runner: CliRunner) -> None:
    found = json.loads(invoke(runner, "list", "--json").stdout)["pipelines"]
    training = next(one for one in found if one["name"] == "training")
    assert training["parameters"]["backbone"] == "cnn3d"
    assert "needed" in invoke(runner, "list").stdout


def test_runs_of_this_machine_are_listed_the_newest_first(runner: CliRunner, tmp_path: Path) -> None:
    assert "there is no run yet" in invoke(runner, "runs").stderr
    assert invoke(runner, "run", "small").exit_code == 0
    refusal(runner, "run", "small", "--videos", "s3://elsewhere/list.csv")
    torn = tmp_path / "home" / "runs" / "torn"
    torn.mkdir()
    (torn / runs.RECORD).write_text("{")
    found = json.loads(invoke(runner, "runs", "--json").stdout)["runs"]
    assert {one["status"] for one in found} == {"failed", "succeeded"}
    assert [one["run_id"] for one in found] == sorted((one["run_id"] for one in found), reverse=True)
    table = invoke(runner, "runs").stdout.splitlines()
    assert table[0].split() == ["RUN", "PIPELINE", "STATUS", "STARTED", "TOOK"]
    assert [line.split()[0] for line in table[1:]] == [one["run_id"] for one in found]


def test_a_backbone_is_checked_without_torch() -> None:
    code = (
        "import sys; from rapt.commands.pipeline import _check_backbone; _check_backbone('cnn3d');"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_compile_writes_what_a_cluster_takes(runner: CliRunner, tmp_path: Path) -> None:
    out = tmp_path / "training.yaml"
    done = invoke(runner, "compile", "training", "-o", str(out), "--image", "registry.example/rapt:7", "--json")
    assert json.loads(done.stdout)["file"] == str(out)
    pipeline = next(yaml.safe_load_all(out.read_text()))
    images = {one["container"]["image"] for one in pipeline["deploymentSpec"]["executors"].values()}
    assert images == {"registry.example/rapt:7"}


@pytest.fixture
def cluster(runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubeflow]:
    """Kubeflow Pipelines that the settings lead to; kubectl leads nowhere."""
    monkeypatch.setattr(watch, "POLL_S", 0.0)
    with kubeflow.running() as (endpoint, state):
        runner.env = {**runner.env, "RAPT_KFP_ENDPOINT": endpoint, "KUBECONFIG": str(tmp_path / "none")}
        yield state


def test_submit_follows_a_run_to_its_end(runner: CliRunner, cluster: Kubeflow) -> None:
    cluster.film = [
        Frame("PENDING"),
        Frame("RUNNING", {"download": "RUNNING"}),
        Frame("SUCCEEDED", {"download": "SUCCEEDED"}),
    ]
    done = invoke(runner, "submit", "training", "--pipeline-root", "s3://rapt/pipelines", "--watch")
    assert done.exit_code == 0, done.exception
    (run_id,) = cluster.runs
    lines = done.stdout.splitlines()
    assert lines[-2:] == ["evaluate: skipped not reached", "publish: skipped not reached"]
    assert "download: done 1 min 5 s" in lines
    assert f"submitted training: run {run_id} at http://127.0.0.1:" in done.stderr
    assert f"artifacts: s3://rapt/pipelines/training/{run_id}" in done.stderr


def test_a_run_that_fails_ends_the_command_with_its_reason(
    runner: CliRunner, cluster: Kubeflow, tmp_path: Path
) -> None:
    cluster.film = [Frame("FAILED", {"download": "SUCCEEDED", "train": "FAILED"})]
    run_id = json.loads(invoke(runner, "submit", "training", "--json").stdout)["run_id"]

    done = invoke(runner, "watch", run_id, "--json")

    assert done.exit_code == 1
    log = tmp_path / "home" / "runs" / run_id / "train.log"
    assert isinstance(done.exception, Exception)
    assert cli.one_line(done.exception) == f"train: failed (log: {log})"
    assert f"the end of {log}:" in done.stderr and "ask for it by: kubectl -n kubeflow logs" in done.stderr
    document = json.loads(done.stdout)
    assert (document["run_id"], document["state"], document["seconds"]) == (run_id, "FAILED", 65.0)
    found = {step["name"]: (step["state"], step["reason"]) for step in document["steps"]}
    assert found["download"] == ("done", "")
    assert found["train"] == ("failed", "failed")
    assert found["publish"] == ("skipped", "train failed")


def test_a_run_is_listed_and_stopped(runner: CliRunner, cluster: Kubeflow) -> None:
    assert "rapt pipeline submit" in invoke(runner, "runs", "--cluster").stderr
    invoke(runner, "submit", "training", "--name", "mine", "--experiment", "nightly")
    (run_id,) = cluster.runs
    assert [one["display_name"] for one in cluster.experiments.values()] == ["nightly"]
    head, row = invoke(runner, "runs", "--cluster").stdout.splitlines()
    assert head.split() == ["RUN", "NAME", "STATE", "CREATED"]
    assert row.split()[:3] == [run_id, "mine", "PENDING"]
    assert f"run {run_id} is being stopped" in invoke(runner, "stop", run_id).stderr
    assert refusal(runner, "watch", run_id) == f"run {run_id} was stopped"


def test_a_schedule_is_made_listed_and_ended(runner: CliRunner, cluster: Kubeflow) -> None:
    assert "nothing is scheduled" in invoke(runner, "schedules").stderr
    arguments = ("--cron", "0 3 * * *", "--no-catch-up", "--name", "nightly", "--param", "viewers=7")
    done = json.loads(invoke(runner, "schedule", "training", *arguments, "--json").stdout)
    (schedule_id,) = cluster.recurring
    assert (done["schedule_id"], done["pipeline"]) == (schedule_id, "training")
    assert cluster.recurring[schedule_id]["no_catchup"] is True
    assert cluster.recurring[schedule_id]["runtime_config"]["parameters"] == {"viewers": 7}
    head, row = invoke(runner, "schedules").stdout.splitlines()
    assert head.split() == ["SCHEDULE", "NAME", "WHEN", "STATUS", "CREATED"]
    assert row.split()[:9] == [schedule_id, "nightly", "0", "0", "3", "*", "*", "*", "ENABLED"]
    assert f"ended schedule {schedule_id}" in invoke(runner, "unschedule", schedule_id).stderr
    assert not cluster.recurring


def test_settings_give_namespace_root_and_a_token_that_is_not_told(runner: CliRunner, cluster: Kubeflow) -> None:
    cluster.namespaces, cluster.token = True, "hush-hush"
    runner.env = {
        **runner.env, "RAPT_KFP_NAMESPACE": "ada", "RAPT_KFP_TOKEN": "hush-hush",
        "RAPT_KFP_PIPELINE_ROOT": "s3://ada/pipelines",
    }  # fmt: skip
    done = runner.invoke(cli.app, ["--debug", "pipeline", "submit", "training"])
    assert done.exit_code == 0, done.exception
    (run,) = cluster.runs.values()
    assert run["runtime_config"]["pipeline_root"] == "s3://ada/pipelines"
    assert cluster.experiments[run["experiment_id"]]["namespace"] == "ada"
    assert "hush-hush" not in done.output


def test_a_file_of_this_machine_does_not_go_to_a_cluster_that_cannot_reach_its_store(
    runner: CliRunner, cluster: Kubeflow, clips: Path
) -> None:
    runner.env = {**runner.env, "RAPT_S3_ENDPOINT": ""}
    told = refusal(runner, "submit", "training", "--videos", str(clips))
    assert "which a cluster does not reach; set RAPT_S3_ENDPOINT" in told
    assert not cluster.runs


def test_on_a_terminal_a_run_on_a_cluster_is_a_live_tree(runner: CliRunner, cluster: Kubeflow) -> None:
    cluster.film = [Frame("RUNNING", {"download": "RUNNING"}), Frame("SUCCEEDED", {"download": "SUCCEEDED"})]
    runner.env = {**runner.env, "FORCE_COLOR": "1", "TERM": "xterm"}
    done = invoke(runner, "submit", "training", "--watch")
    assert done.exit_code == 0, done.exception
    (run_id,) = cluster.runs
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", done.stdout)
    assert f"training  {run_id}" in plain
    assert re.search(r"✓ download +1 min 5 s", plain) and re.search(r"– publish +skipped: not reached", plain)


def test_interrupted_a_run_goes_on(runner: CliRunner, cluster: Kubeflow) -> None:
    cluster.film = [Frame("RUNNING", {"download": "RUNNING"})]
    run_id = json.loads(invoke(runner, "submit", "training", "--json").stdout)["run_id"]
    environment = {**os.environ, **{key: value for key, value in runner.env.items() if value is not None}}
    with subprocess.Popen(
        [RAPT, "pipeline", "watch", run_id], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "download: running\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == "", "nothing failed and nothing was skipped"
    assert f"run {run_id} goes on; follow it: rapt pipeline watch {run_id}" in err
    assert cluster.runs[run_id]["state"] == "RUNNING"


def test_steps_stand_behind_those_that_they_need() -> None:
    names = step_names(PIPELINES["training"].pipeline_spec)
    for before, after in (
        ("download", "merge_catalogs"), ("merge_catalogs", "preprocess_text"), ("preprocess_text", "train"),
        ("train", "evaluate"), ("evaluate", "publish"),
    ):  # fmt: skip
        assert names.index(before) < names.index(after)


def test_help_is_quick_to_ask_for() -> None:
    shown = subprocess.run(
        [RAPT, "pipeline", "run", "--help"], capture_output=True, text=True, timeout=60,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    )  # fmt: skip
    for option in ("--videos", "--events", "--world-videos", "--no-cache", "--json"):
        assert option in shown.stdout
