"""Experiments on the cluster: applied by kubectl, decided by live viewers, carried out with no failed request."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from safetensors.torch import load_file, save_file

from interest.bundle import MANIFEST, Bundle, open_bundle, seal
from interest.catalog import VIDEOS, write_jsonl
from interest.experiments.assignment import Arm, assign
from interest.export import export_graphs
from interest.training.bundle import load_modules
from monitoring.experiments.replay import replay
from monitoring.operator.predictors import name_of
from monitoring.reports import look
from rapt.cluster.create import forwarded, have_chart, roll_out
from rapt.cluster.models import object_store
from rapt.errors import ClusterFailed
from tests.cluster.deployed import Deployed
from tests.cluster.watch import WATCHED, Watch
from tests.interest.worlds import small_world
from tests.monitoring.queries import KUBE_STATE_METRICS, asked, filled, names
from wire import reports
from wire.models import promote, publish_bundle

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]
QUICK = "labels: {windowSeconds: 3, slackSeconds: 1}\n" + WATCHED
DECIDED_S, RATE = 420.0, 25
ROUTES = 'route=~".+:predict|infer"'
GONE = {
    "ConnectError",
    "ConnectTimeout",
    "PoolTimeout",
    "ReadError",
    "ReadTimeout",
    "RemoteProtocolError",
    "WriteError",
    "not available",
}
"""What callers of a transformer see that was killed: when its feeder dies a moment before it, it says so."""
EXPERIMENT, OPERATOR = "trial", "experiments"
KILLED = ("labels", OPERATOR, "transformer")
NOT_HERE = {
    **dict.fromkeys(KUBE_STATE_METRICS, "kube-state-metrics is not installed here"),
    "kubelet_volume_stats_used_bytes": "the kubelet tells nothing of kind's volumes",
    "rapt_retraining_failures_total": "the laptop's; here a pipeline retrains",
    "rapt_retraining_running": "the laptop's; here a pipeline retrains",
    "rapt_retraining_runs_failed_total": "the laptop's; here a pipeline retrains",
    "rapt_retraining_runs_total": "the laptop's; here a pipeline retrains",
    # What did not happen; tests/monitoring/dashboards/test_live.py has a day in which all of it does.
    "ALERTS": "nothing fires",
    "rapt_predictor_call_failures_total": "no call of a predictor fails",
    "rapt_candidate_failures_total": "no candidate fails",
    "rapt_feed_videos_total": "no video comes",
    "rapt_feed_seconds_bucket": "no video comes",
}
"""Metrics that this cluster does not have, and why."""
NOT_ASKED = ('code=~"5.."', 'namespace="kubeflow"')
"""No request fails, and Kubeflow is not installed: queries with these have no data."""


@dataclass(frozen=True)
class Models:
    """A model of the small world, and one that ranks everything the other way round."""

    good: Bundle
    contrary: Bundle


@pytest.fixture(scope="module")
def models(served: Deployed, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Both in the cluster's store, with the world that they learned from."""
    folder, dataset = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("world")
    latents, catalog, _, _ = small_world()
    write_jsonl(dataset / VIDEOS, catalog)
    latents.write(dataset)
    world = secrets.token_hex(32)
    made = Models(_copy(bundle, folder / "good", world), _copy(bundle, folder / "contrary", world, contrary=True))
    with object_store(served.cluster) as store:
        for one in (made.good, made.contrary):
            now_ms = time.time_ns() // 1_000_000
            publish_bundle(store, one.folder, one.digest, dataset, published_at_ms=now_ms, serve=False)
    return made


def _copy(bundle: Bundle, folder: Path, world: str, *, contrary: bool = False) -> Bundle:
    shutil.copytree(bundle.folder, folder)
    about = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).unlink()
    if contrary:
        arrays = load_file(folder / "weights.safetensors")
        arrays["fusion.calibration"][0] *= -1
        encoders, fusion = load_modules(arrays, about)
        sizes = about["features"]
        export_graphs(folder, encoders, fusion, frames=tuple(sizes["frames"][:3]), mfcc=tuple(sizes["mfcc"]),
                      text=sizes["text"][0])  # fmt: skip
        save_file(arrays, folder / "weights.safetensors")
    more = {key: one for key, one in about.items() if key != "files"}
    return open_bundle(folder, seal(folder, {**more, "data": {"dataset": world}}))


@pytest.fixture(scope="module")
def quick(
    served: Deployed, prometheus: Watch, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    """Labels within seconds, and a Prometheus that watches; afterwards all is as it was."""
    values = tmp_path_factory.mktemp("values") / "values.yaml"
    values.write_text(QUICK)
    have_chart(replace(served.plan, values=(values,)))
    for part in ("labels", OPERATOR):
        roll_out(served.cluster, f"deployment/rapt-{part}")
    yield served
    served.cluster("delete", "experiments", "--all", deadline_s=120)
    served.publish(bundle)
    have_chart(served.plan)


@pytest.fixture(autouse=True)
def without_experiments(quick: Deployed) -> Iterator[None]:
    yield
    quick.cluster("delete", "experiments", "--all", "--timeout=100s", deadline_s=120)


def serve(deployed: Deployed, model: Bundle) -> None:
    """Have everybody served by it; a model that is served already goes on, with what was seen of it."""
    if digests(deployed) == {model.digest}:
        return
    with object_store(deployed.cluster) as store:
        promote(store, model.digest)
    deployed.until(lambda: digests(deployed) == {model.digest}, "the model is served")


def digests(deployed: Deployed, viewers: int = 30) -> set[str]:
    """Models that answer some viewers."""
    asked = [{"user_id": f"viewer-{number}", "video_ids": ["sim-00001"]} for number in range(viewers)]
    return {one["model_digest"] for one in deployed.ask({"instances": asked})["predictions"]}


def apply(deployed: Deployed, candidate: Bundle, **spec: Any) -> None:
    """As `kubectl apply -f`."""
    quick = {"share": [0.25, 0.5], "stepAfter": "10s", "window": "5s", "deadline": "1h",
             "guardrails": [{"metric": "errors", "margin": 0.05}]}  # fmt: skip
    deployed.cluster.apply(
        {
            "apiVersion": "rapt.dev/v1alpha1",
            "kind": "Experiment",
            "metadata": {"name": EXPERIMENT},
            "spec": {"candidate": candidate.digest, **quick, **spec},
        }
    )


def status(deployed: Deployed) -> dict[str, Any]:
    found: dict[str, Any] = deployed.cluster.get("experiment", EXPERIMENT).get("status", {})
    return found


def services(deployed: Deployed) -> set[str]:
    return {one["metadata"]["name"] for one in deployed.cluster.items("inferenceservices")}


def running(deployed: Deployed) -> None:
    """Wait until transformers send viewers to the candidate."""
    deployed.until(
        lambda: status(deployed).get("phase") == "Running" and len(digests(deployed)) == 2,
        lambda: f"some viewers see the candidate: {status(deployed)}", 240,
    )  # fmt: skip


@contextmanager
def traffic(deployed: Deployed, models: Models, *, kills: bool = False) -> Iterator[dict[str, Any]]:
    """Viewers of the world in a closed loop meanwhile; afterwards what came of it, and no request has failed.

    `kills`: the one transformer is killed, so that its callers find nobody.
    """
    command = [sys.executable, "-m", "rapt", "cluster", "run", "--context", deployed.cluster.context, "--"]
    options = ["--users", "1500", "--rate", f"{RATE}", "--candidates", "30", "--randomised", "0", "--model",
               models.good.digest[:12], "--seconds", "600", "--json"]  # fmt: skip
    process = subprocess.Popen(
        [*command, "traffic", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    came: dict[str, Any] = {}
    try:
        yield came
    finally:
        process.send_signal(signal.SIGINT)
        try:
            said, errors = process.communicate(timeout=90)
        finally:
            process.kill()
    assert '{\n  "requests"' in said, said[-2000:] + errors[-2000:]
    came |= json.JSONDecoder().raw_decode(said[said.index('{\n  "requests"') :])[0]
    shown = ("requests", "seconds", "latency_ms", "failures", "models", "engaged_share_ranked")
    print({key: came[key] for key in shown})
    assert came["requests"] > 100 and came["undelivered"] == ""
    assert came["failures"] == {} or (kills and came["failures"].keys() <= GONE), came["last_failure"]


def decided(deployed: Deployed) -> dict[str, Any]:
    """The status of the experiment once it is carried out."""

    def finished() -> bool:
        return bool(status(deployed).get("finished"))

    deployed.until(finished, lambda: f"it is decided and done: {status(deployed)}", DECIDED_S)
    found = status(deployed)
    took_s = time.time() - found["createdMs"] / 1e3
    until_s = (found["decidedMs"] - found["startedMs"]) / 1e3
    print(f"{found['phase']} {until_s:.0f} s after its first viewer, done {took_s:.0f} s after it was applied:"
          f" {found['reason']}; {found['lift']}, viewers {found['viewers']}, requests {found['requests']}")  # fmt: skip
    return found


def test_an_applied_experiment_runs_and_is_shown(quick: Deployed, models: Models) -> None:
    serve(quick, models.good)
    apply(quick, models.contrary, share=[0.5])
    running(quick)
    head, row = (line.split() for line in quick.cluster("get", "experiments").splitlines())
    assert head == ["NAME", "PHASE", "SHARE", "VIEWERS", "LIFT", "LOWER", "UPPER", "AGE"]
    assert row[:3] == [EXPERIMENT, "Running", "50%"]
    assert services(quick) == {"interest", name_of(EXPERIMENT)}
    reasons = {one["reason"] for one in quick.cluster.items("events") if one["involvedObject"]["kind"] == "Experiment"}
    assert "Running" in reasons
    for viewer in range(20):
        (answer,) = quick.ask({"instances": [{"user_id": f"viewer-{viewer}", "video_ids": ["sim-00001"]}]})[
            "predictions"
        ]
        arm = assign("", EXPERIMENT, f"viewer-{viewer}", 0.5)
        wanted = models.contrary if arm is Arm.CANDIDATE else models.good
        assert (answer["arm"], answer["model_digest"]) == (arm, wanted.digest)


def test_what_cannot_be_run_is_refused_by_kubectl(quick: Deployed, models: Models) -> None:
    with pytest.raises(ClusterFailed, match="must grow from step to step"):
        apply(quick, models.good, share=[0.5, 0.25])
    with pytest.raises(ClusterFailed, match="unknown field"):
        apply(quick, models.good, shares=[0.5])


def test_a_better_candidate_is_promoted(quick: Deployed, models: Models) -> None:
    serve(quick, models.contrary)
    with traffic(quick, models) as came:
        apply(quick, models.good)
        found = decided(quick)
    assert found["phase"] == "Promoted" and found["lift"]["lower"] > 0
    assert came["models"].keys() == {models.contrary.digest[:12], models.good.digest[:12]}
    assert digests(quick) == {models.good.digest}
    quick.until(lambda: services(quick) == {"interest"}, "no candidate is left", 60)
    with object_store(quick.cluster) as store:
        assert json.loads(store.get_bytes("models/latest.json"))["digest"] == models.good.digest


def test_a_worse_candidate_is_rolled_back(quick: Deployed, models: Models) -> None:
    serve(quick, models.good)
    with traffic(quick, models):
        apply(quick, models.contrary)
        found = decided(quick)
    assert found["phase"] == "RolledBack" and found["lift"]["upper"] < 0
    assert digests(quick) == {models.good.digest}
    quick.until(lambda: services(quick) == {"interest"}, "no candidate is left", 60)


def test_a_deletion_in_the_middle_takes_everybody_back(quick: Deployed, models: Models) -> None:
    serve(quick, models.good)
    with traffic(quick, models) as came:
        apply(quick, models.contrary, share=[0.5], stepAfter="1h", paused=True)
        quick.until(lambda: "paused" in status(quick).get("reason", ""), "it is paused before it begins", 120)
        quick.cluster("patch", "experiment", EXPERIMENT, "--type=merge", "-p", '{"spec": {"paused": false}}')
        running(quick)
        quick.until(lambda: status(quick)["requests"].get("candidate", 0) > 20, "viewers see the candidate", 60)
        quick.cluster("delete", "experiment", EXPERIMENT, "--timeout=60s", deadline_s=70)
        assert services(quick) == {"interest"}, "when the experiment is gone, so is its candidate"
        assert digests(quick) == {models.good.digest}
    assert came["models"].keys() == {models.good.digest[:12], models.contrary.digest[:12]}


def test_the_death_of_the_operator_changes_nothing(quick: Deployed, models: Models) -> None:
    serve(quick, models.good)

    def looks_on(since: int) -> None:
        """Wait until it tells of requests that came after so many."""
        quick.until(
            lambda: status(quick)["requests"].get("candidate", 0) > since + 20, "the operator tells of new requests", 60
        )

    with traffic(quick, models) as came:
        apply(quick, models.contrary, share=[0.5], window="1h")
        running(quick)
        looks_on(0)
        before = status(quick)
        for _ in range(2):
            quick.kill(quick.pod(OPERATOR))
            assert len(digests(quick)) == 2, "viewers stay in their arms without it"
            looks_on(status(quick)["requests"]["candidate"])
        after = status(quick)
    assert came["models"].keys() == {models.good.digest[:12], models.contrary.digest[:12]}
    changing = {"requests", "dataMs", "next", "guardrails"}
    assert {key: one for key, one in after.items() if key not in changing} == {
        key: one for key, one in before.items() if key not in changing
    }
    quick.cluster("patch", "experiment", EXPERIMENT, "--type=merge", "-p", '{"spec": {"decision": "rollback"}}')
    quick.until(lambda: bool(status(quick).get("finished")), "it is wound up", 60)
    assert status(quick)["reason"] == "decided by hand"
    assert digests(quick) == {models.good.digest}


def test_killed_in_every_phase_of_a_rollout_the_decision_is_the_same(quick: Deployed, models: Models) -> None:
    """Joiner, operator and transformer at once, as when their node is lost; viewers without one are not answered."""
    serve(quick, models.good)
    phases: list[tuple[str, Callable[[dict[str, Any]], bool]]] = [
        ("before it runs", lambda now: now.get("phase") == "Pending"),
        ("at its first share", lambda now: now.get("phase") == "Running"),
        ("at its second share", lambda now: now.get("step") == 1 or _ended(now)),
        ("when it was decided", _ended),
    ]
    met = []
    with traffic(quick, models, kills=True):
        apply(quick, models.contrary)
        for name, reached in phases:
            quick.until(lambda reached=reached: reached(status(quick)), name, DECIDED_S)
            quick.kill(*(quick.pod(component) for component in KILLED))
            met.append(status(quick)["phase"])
            for one in ("rapt-labels", f"rapt-{OPERATOR}", "interest-transformer"):
                roll_out(quick.cluster, f"deployment/{one}")
        found = decided(quick)
    print(f"killed while {met}")
    assert met[:3] == ["Pending", "Running", "Running"]
    assert found["phase"] == "RolledBack" and found["lift"]["upper"] < 0
    assert "the lift is below 0" in found["reason"]
    assert digests(quick) == {models.good.digest}
    quick.until(lambda: services(quick) == {"interest"}, "no candidate is left", 60)
    with object_store(quick.cluster) as store:
        assert all(one.same for one in replay(store, EXPERIMENT))


def test_every_query_and_every_rule_had_data_of_all_that(quick: Deployed, models: Models, prometheus: Watch) -> None:
    """Of dashboards and alerts; what happened in this module is what they are asked of, from its first test on."""
    serve(quick, models.good)
    with traffic(quick, models), prometheus.asked() as found:
        # As many as are compared with each other, the first with the last.
        enough, began_s = f'rapt_slice_impressions{{slice="all"}} >= {2 * look.LEAST}', time.time()

        def asked_often() -> bool:
            counts = found.values(f"sum(rapt_request_seconds_count{{{ROUTES}}})", began_s, time.time())
            return bool(counts) and max(counts) - min(counts) > 200

        quick.until(asked_often, "viewers ask meanwhile", 240)
        quick.until(lambda: bool(found.values(enough, time.time() - 5, time.time())), "the model is judged", 240)
        now_s = time.time()
        queries = {
            where: query
            for where, query in asked().items()
            if not names(query, NOT_HERE) and not any(part in query for part in NOT_ASKED)
        }
        empty = {
            where: query
            for where, query in queries.items()
            if not found.values(filled(query, "15s"), prometheus.begin_s, now_s)
        }
        rules = {rule["name"]: rule for group in found.get("rules")["groups"] for rule in group["rules"]}
        jobs = found.up()
    assert empty == {}
    assert {name: rule.get("lastError") for name, rule in rules.items() if rule["health"] != "ok"} == {}
    assert jobs >= {"transformer", "predictor", "explainer", "catalogue-feed", "labels", "experiments", "reports"}


def test_the_cron_job_makes_a_report_that_the_pages_show(quick: Deployed, models: Models) -> None:
    """Of what viewers did who were served by the model last."""
    cluster = quick.cluster
    cluster("create", "job", "report-now", "--from=cronjob/rapt-report")
    try:
        cluster("wait", "job/report-now", "--for=condition=Complete", "--timeout=300s", deadline_s=310)
    finally:
        print(cluster("logs", "job/report-now"))
        cluster("delete", "job", "report-now")
    with object_store(cluster) as store:
        made = reports.newest(store, 1, reports.MODEL)[0]
        assert store.get_bytes(made.files["evidently.html"]).count(b"</html>") == 1
        arms = reports.newest(store, 10, reports.EXPERIMENT)
    assert made.model == models.good.digest and made.verdict is not None and made.quality[0].viewers > 100
    assert {one.subject for one in arms} == {EXPERIMENT}
    with forwarded(cluster, "service/rapt-reports", 80) as port:
        assert made.name in httpx.get(f"http://127.0.0.1:{port}/", timeout=30).text
    with forwarded(cluster, "service/rapt-evidently", 80) as port:
        projects = f"http://127.0.0.1:{port}/api/projects"

        def shown() -> bool:
            (project,) = httpx.get(projects, timeout=30).json()
            runs = httpx.get(f"{projects}/{project['id']}/reports", timeout=30).json()
            return made.name in {one["name"] for one in runs}

        quick.until(shown, "Evidently shows it", 90)


def _ended(found: dict[str, Any]) -> bool:
    return found.get("phase") in {"Promoted", "RolledBack"}
