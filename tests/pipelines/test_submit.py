"""Submitting and scheduling: what reaches a Kubeflow Pipelines API that checks all it is given."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from components.image import IMAGE
from pipelines.compile import compiled, find
from pipelines.errors import (
    ClusterRefused,
    ClusterUnreachable,
    ClusterUnset,
    InvalidArgument,
    InvalidSchedule,
    PipelineNotPortable,
)
from pipelines.submit import TOKEN, TOKEN_PATH, Cluster
from tests.pipelines import kubeflow
from tests.pipelines.bad import other_image
from tests.pipelines.kubeflow import Handler, Kubeflow
from tests.pipelines.small import films


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Kubeflow]]:
    """The address of an empty Kubeflow Pipelines, and what it holds."""
    for name in (TOKEN, TOKEN_PATH):
        monkeypatch.delenv(name, raising=False)
    with kubeflow.running() as (endpoint, state):
        yield endpoint, state


def test_a_submitted_run_carries_pipeline_arguments_and_image(served: tuple[str, Kubeflow]) -> None:
    endpoint, state = served

    run_id = Cluster(endpoint).submit(
        find("training"), {"viewers": 7, "max_failed_share": 1}, image="here/rapt:2", name="mine",
        experiment="nightly", pipeline_root="s3://rapt/pipelines",
    )  # fmt: skip

    (experiment,) = state.experiments.values()
    assert experiment["display_name"] == "nightly"
    run = state.runs[run_id]
    assert (run["experiment_id"], run["display_name"]) == (experiment["experiment_id"], "mine")
    assert run["runtime_config"] == {
        "parameters": {"viewers": 7, "max_failed_share": 1},
        "pipeline_root": "s3://rapt/pipelines",
    }
    own, platform = yaml.safe_load_all(compiled(find("training"), "here/rapt:2"))
    assert run["pipeline_spec"] == {"pipeline_spec": own, "platform_spec": platform}


def test_runs_share_their_experiment_and_come_the_newest_first(served: tuple[str, Kubeflow]) -> None:
    endpoint, state = served
    cluster = Cluster(endpoint)
    ids = [cluster.submit(films, {"seed": seed}) for seed in range(2)]
    for second, run_id in enumerate(ids):
        state.runs[run_id]["created_at"] = f"2026-11-24T01:02:0{second}Z"

    assert len(state.experiments) == 1
    found = cluster.runs()
    assert [run.run_id for run in found] == ids[::-1]
    assert (found[0].name, found[0].state, found[0].created_at) == ("films", "PENDING", "2026-11-24T01:02:01+00:00")
    assert [run.run_id for run in cluster.runs(limit=1)] == ids[1:]


def test_several_users_have_their_namespaces(served: tuple[str, Kubeflow]) -> None:
    endpoint, state = served
    state.namespaces = True
    with pytest.raises(ClusterRefused, match=r"refuses: 400 .*A namespace is needed"):
        Cluster(endpoint).submit(films, {})
    cluster = Cluster(endpoint, namespace="ada")
    run_id = cluster.submit(films, {})
    assert [run.run_id for run in cluster.runs()] == [run_id]
    assert next(iter(state.experiments.values()))["namespace"] == "ada"


def test_nothing_is_sent_of_a_wrong_run(served: tuple[str, Kubeflow]) -> None:
    endpoint, state = served
    with pytest.raises(InvalidArgument, match="training-from-logs needs source"):
        Cluster(endpoint).submit(find("training_from_logs"), {})
    with pytest.raises(PipelineNotPortable, match=f"other-image.*{IMAGE}"):
        Cluster(endpoint).submit(other_image, {})
    with pytest.raises(InvalidArgument, match="'/data' is not of the form s3://bucket/path"):
        Cluster(endpoint).submit(films, {}, pipeline_root="/data")
    with pytest.raises(InvalidSchedule, match="'0 3 \\* \\*' has 4 fields"):
        Cluster(endpoint).schedule(films, {}, cron="0 3 * *")
    assert state.asked == []


@pytest.mark.parametrize(
    ("when", "trigger", "shown"),
    [
        ({"cron": "30 3 * * 1-5"}, {"cron_schedule": {"cron": "0 30 3 * * 1-5"}}, "0 30 3 * * 1-5"),
        ({"every": "24h"}, {"periodic_schedule": {"interval_second": "86400"}}, "every 86400 s"),
    ],
)
def test_a_schedule_is_made_listed_and_ended(
    served: tuple[str, Kubeflow], when: dict[str, str], trigger: dict[str, object], shown: str
) -> None:
    endpoint, state = served
    cluster = Cluster(endpoint)

    schedule_id = cluster.schedule(
        find("training"), {"viewers": 7}, **when, catch_up=False, name="nightly", pipeline_root="s3://rapt/pipelines"
    )

    made = state.recurring[schedule_id]
    assert made["trigger"] == trigger
    assert (made["mode"], made["max_concurrency"], made["no_catchup"]) == ("ENABLE", "1", True)
    assert made["runtime_config"] == {"parameters": {"viewers": 7}, "pipeline_root": "s3://rapt/pipelines"}
    (listed,) = cluster.schedules()
    assert (listed.schedule_id, listed.name, listed.when, listed.status) == (schedule_id, "nightly", shown, "ENABLED")
    cluster.unschedule(schedule_id)
    assert cluster.schedules() == []
    with pytest.raises(ClusterRefused, match=f"404 .*RecurringRun {schedule_id} not found"):
        cluster.unschedule(schedule_id)


@pytest.mark.parametrize(
    ("endpoint", "told"), [("", "set RAPT_KFP_ENDPOINT"), ("cluster:80", "'cluster:80' is not of the form")]
)
def test_a_missing_endpoint_says_what_to_do(endpoint: str, told: str) -> None:
    with pytest.raises(ClusterUnset, match=told):
        Cluster(endpoint)


def test_a_silent_cluster_is_named() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        port = server.server_port
    with pytest.raises(ClusterUnreachable, match=f"http://127.0.0.1:{port} does not answer: .*port-forward"):
        Cluster(f"http://127.0.0.1:{port}").runs()


def test_a_refusal_is_named_with_its_status(served: tuple[str, Kubeflow]) -> None:
    with pytest.raises(ClusterRefused, match=r"refuses: 404 .*check the id"):
        Cluster(f"{served[0]}/elsewhere").runs()
    with pytest.raises(ClusterRefused, match="Run gone not found"):
        Cluster(served[0]).run("gone")


def test_the_token_comes_from_variable_file_or_pod(
    served: tuple[str, Kubeflow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, state = served
    state.token = "secret-1"
    with pytest.raises(ClusterRefused, match=r"401 .*; give a token by RAPT_KFP_TOKEN or kfp_token_file"):
        Cluster(endpoint).runs()

    monkeypatch.setenv(TOKEN, "secret-1")
    assert Cluster(endpoint).runs() == []
    monkeypatch.setenv(TOKEN, "secret-2")
    with pytest.raises(ClusterRefused) as refusal:
        Cluster(endpoint).runs()
    assert "secret" not in str(refusal.value)
    monkeypatch.delenv(TOKEN)

    file = tmp_path / "token"
    file.write_text("secret-1\n")
    monkeypatch.setenv(TOKEN_PATH, str(file))
    cluster = Cluster(endpoint)
    assert cluster.runs() == []
    state.token = "renewed"
    file.write_text("renewed\n")
    assert cluster.runs() == [], "Kubernetes renews a projected token under the same name"

    with pytest.raises(ClusterUnset, match=r"cannot read the token .*gone: No such file"):
        Cluster(endpoint, token_file=str(tmp_path / "gone"))


def test_a_certificate_authority_of_ones_own_is_trusted(served: tuple[str, Kubeflow], tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "here")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    pem, secret = tmp_path / "ca.pem", tmp_path / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem, secret)
    with kubeflow.serving(type("Mine", (Handler,), {"kubeflow": served[1]})) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        endpoint = f"https://127.0.0.1:{server.server_port}"
        assert Cluster(endpoint, ca_file=str(pem)).runs() == []
        with pytest.raises(ClusterUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
            Cluster(endpoint).runs()
    with pytest.raises(ClusterUnset, match=r"gone.pem' is no file"):
        Cluster(endpoint, ca_file=str(tmp_path / "gone.pem"))
