"""A run on a cluster followed: states from the API, words from its pods through the real kubectl."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pipelines import watch as module
from pipelines.compile import compiled, find, step_names
from pipelines.errors import ClusterRefused, ClusterUnreachable
from pipelines.submit import Cluster
from pipelines.watch import Progress, Watch
from tests.pipelines import kubeflow, pods
from tests.pipelines.kubeflow import Frame, Kubeflow
from tests.pipelines.pods import Pod

needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Cluster, Kubeflow]]:
    """A cluster that is asked without pause, and what it holds."""
    monkeypatch.setattr(module, "POLL_S", 0.0)
    with kubeflow.running() as (endpoint, state):
        yield Cluster(endpoint), state


@pytest.fixture
def seen_pods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Pod]]:
    """The pods that kubectl sees."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with pods.running(tmp_path) as (config, found):
        monkeypatch.setenv("KUBECONFIG", str(config))
        yield found


@pytest.fixture
def no_kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


BEFORE = Frame("PENDING")
"""What `Watch` sees when it looks up the run's steps."""


def states(seen: Progress) -> dict[str, str]:
    return {step.name: step.state for step in seen.steps if step.state}


def journal(step: str, **fields: object) -> str:
    return json.dumps({"step": step, "ts": 1.0, **fields}) + "\n"


def test_a_run_is_followed_to_its_end(served: tuple[Cluster, Kubeflow], tmp_path: Path, no_kubectl: None) -> None:
    cluster, state = served
    state.film = [
        BEFORE,
        Frame("PENDING"),
        Frame("RUNNING", {"download": "RUNNING", "render-videos": "PENDING"}),
        Frame("SUCCEEDED", {"download": "SUCCEEDED", "render-videos": "SUCCEEDED"}),
    ]
    run_id = cluster.submit(find("training"), {}, name="mine", pipeline_root="s3://rapt/pipelines/")

    first, second, last = Watch(cluster, run_id, tmp_path).follow(pytest.fail)

    names = step_names(find("training").pipeline_spec)
    assert [step.name for step in first.steps] == list(names)
    assert (first.state, states(first), first.over) == ("PENDING", {}, False)
    assert states(second) == {"download": "RUNNING", "render_videos": "PENDING"}
    assert states(last) == {"download": "SUCCEEDED", "render_videos": "SUCCEEDED"}
    assert (last.state, last.name, last.pipeline, last.seconds) == ("SUCCEEDED", "mine", "training", 65.0)
    assert {step.seconds for step in last.steps if step.state} == {65.0}
    assert last.artifacts == f"s3://rapt/pipelines/training/{run_id}"
    assert second.troubles == ["progress and logs are not shown: kubectl is not on PATH"]


@pytest.mark.cluster
@needs_kubectl
def test_pods_tell_progress_and_the_reason_of_a_failure(
    served: tuple[Cluster, Kubeflow], seen_pods: list[Pod], tmp_path: Path
) -> None:
    cluster, state = served
    state.film = [
        BEFORE,
        Frame("RUNNING", {"download": "RUNNING"}),
        Frame("FAILED", {"download": "FAILED", "render-videos": "FAILED"}),
    ]
    run_id = cluster.submit(find("training"), {})
    began, half = journal("download", event="started"), journal("download", event="progress", done=1, total=2)
    printed = f"I1124 launcher_v2.go\n{began}{half}" + '{"other": "line"}\n'
    seen_pods += [
        Pod(run_id, "root.download.executor(0)", pods.failed(1), "the first attempt\n", made="2026-11-24T01:00:00Z"),
        Pod(run_id, "root.download.executor(1)", pods.RUNNING, printed, made="2026-11-24T01:02:00Z"),
        Pod(run_id, "root.download-driver", pods.SUCCEEDED, made="2026-11-24T00:59:00Z"),
        Pod("another", "root.download.executor(2)", pods.failed(2), made="2026-11-24T02:00:00Z"),
        Pod(run_id, "root.render-videos.executor", pods.failed(137, "OOMKilled"), "rendering\n"),
    ]
    watching = Watch(cluster, run_id, tmp_path / "run").follow(pytest.fail)

    running = next(watching)
    assert [line["event"] for line in running.steps[0].lines] == ["started", "progress"]
    assert running.troubles == ["render_videos: OOMKilled, exit code 137"]

    (last,) = watching
    steps = {step.name: step for step in last.steps}
    assert steps["render_videos"].trouble == "OOMKilled, exit code 137"
    assert (tmp_path / "run" / "render_videos.log").read_text() == "rendering\n"
    assert steps["download"].log == tmp_path / "run" / "download.log"
    assert steps["download"].log.read_text() == printed


@pytest.mark.cluster
@needs_kubectl
@pytest.mark.parametrize(
    ("node", "status", "told"),
    [
        (
            "root.download.executor(0)",
            pods.waiting("ImagePullBackOff", "Back-off pulling image"),
            "download: ImagePullBackOff: Back-off pulling image",
        ),
        (
            "root.download-driver",
            pods.waiting("CreateContainerConfigError", 'secret "rapt-s3" not found'),
            'download: CreateContainerConfigError: secret "rapt-s3" not found',
        ),
        (
            "root.condition-1.publish.executor(0)",
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "Insufficient memory"}]},
            "publish: not scheduled: Insufficient memory",
        ),
        ("root-driver", pods.failed(1), "the run cannot begin: Error, exit code 1: no defaultPipelineRoot"),
        (
            "root.download.executor(0)",
            {"phase": "Failed", "reason": "DeadlineExceeded", "message": "Pod was active longer"},
            "download: DeadlineExceeded: Pod was active longer",
        ),
        ("root.download.executor(0)", pods.waiting("ContainerCreating", ""), None),
    ],
)
def test_what_keeps_a_step_waiting_is_told(
    served: tuple[Cluster, Kubeflow], seen_pods: list[Pod], tmp_path: Path, node: str, status: dict, told: str | None
) -> None:
    cluster, state = served
    state.film = [Frame("RUNNING", {"download": "RUNNING"})]
    run_id = cluster.submit(find("training"), {})
    seen_pods.append(Pod(run_id, node, status, "I1124 root_dag.go\nno defaultPipelineRoot\n"))
    assert Watch(cluster, run_id, tmp_path).look().troubles == ([told] if told else [])


def test_without_kubectl_the_log_says_how_to_see_it(
    served: tuple[Cluster, Kubeflow], tmp_path: Path, no_kubectl: None
) -> None:
    cluster, state = served
    state.film = [Frame("FAILED", {"download": "FAILED"})]
    run_id = cluster.submit(find("training"), {})
    (last,) = Watch(cluster, run_id, tmp_path / "run").follow(pytest.fail)
    assert last.steps[0].log
    assert last.steps[0].log.read_text() == (
        f"kubectl is not on PATH; ask for it by: kubectl -n kubeflow logs -l pipeline/runid={run_id} -c main "
        "--prefix --tail=100\n"
    )


def test_an_outage_is_told_and_waited_out(
    served: tuple[Cluster, Kubeflow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_kubectl: None
) -> None:
    cluster, state = served
    state.film = [BEFORE, Frame("RUNNING"), Frame("SUCCEEDED")]
    run_id = cluster.submit(find("training"), {})
    watch = Watch(cluster, run_id, tmp_path)
    state.silent = 20
    told: list[str] = []

    assert [seen.state for seen in watch.follow(told.append)][-1] == "SUCCEEDED"
    assert "does not answer" in told[0] and "waiting for it, up to 300 s" in told[0]
    assert told[1:] == ["Kubeflow Pipelines answers again"]

    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    state.silent = 1000
    with pytest.raises(ClusterUnreachable, match="does not answer"):
        list(watch.follow(told.append))


def test_a_refusal_is_not_waited_out(served: tuple[Cluster, Kubeflow], tmp_path: Path, no_kubectl: None) -> None:
    cluster, state = served
    run_id = cluster.submit(find("training"), {})
    watching = Watch(cluster, run_id, tmp_path).follow(pytest.fail)
    assert next(watching).state == "PENDING"
    del state.runs[run_id]
    with pytest.raises(ClusterRefused, match="404"):
        next(watching)


def test_a_run_that_was_stopped_is_told_from_one_that_failed(
    served: tuple[Cluster, Kubeflow], tmp_path: Path, no_kubectl: None
) -> None:
    cluster, state = served
    state.film = [Frame("RUNNING", {"download": "RUNNING"})]
    run_id = cluster.submit(find("training"), {})
    watching = Watch(cluster, run_id, tmp_path).follow(pytest.fail)
    assert not next(watching).stopped
    cluster.stop(run_id)
    *_, last = watching
    assert (last.state, last.stopped) == ("FAILED", True)
    with pytest.raises(ClusterRefused, match=r"400 .*Row not found"):
        cluster.stop(run_id)


def test_a_run_of_an_uploaded_pipeline_has_its_steps_too(
    served: tuple[Cluster, Kubeflow], tmp_path: Path, no_kubectl: None
) -> None:
    cluster, state = served
    own, platform = yaml.safe_load_all(compiled(find("training_from_logs")))
    state.versions["v"] = {
        "pipeline_version_id": "v",
        "pipeline_spec": {"pipeline_spec": own, "platform_spec": platform},
    }
    run_id = cluster.submit(find("training"), {})
    del state.runs[run_id]["pipeline_spec"]
    state.runs[run_id]["pipeline_version_reference"] = {"pipeline_id": "p", "pipeline_version_id": "v"}
    watch = Watch(cluster, run_id, tmp_path)
    assert watch.pipeline == "training-from-logs"
    assert "import_user_logs" in watch.tasks
