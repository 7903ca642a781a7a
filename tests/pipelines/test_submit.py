"""Submitting: what goes over the wire to a loopback server with the paths of the Kubeflow Pipelines API."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml

from components.image import IMAGE
from pipelines.compile import compiled, find
from pipelines.errors import ClusterUnreachable, ClusterUnset, InvalidArgument, PipelineNotPortable
from pipelines.submit import Cluster, Run
from tests.pipelines.bad import other_image

API = "/apis/v2beta1"
RUN = {"run_id": "run-1", "display_name": "mine", "state": "PENDING", "created_at": "2026-11-24T01:02:03Z"}
EXPERIMENT = {"experiment_id": "experiment-1", "display_name": "rapt"}


class Api(BaseHTTPRequestHandler):
    """Answers of an empty cluster; `submitted` collects what came."""

    submitted: list[dict[str, Any]]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        answers = {
            f"{API}/experiments": {},
            f"{API}/runs": {"runs": [RUN], "total_size": 1},
        }
        self._answer(200 if path in answers else 404, answers.get(path, {"error": path}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.submitted.append(body)
        self._answer(200, RUN if self.path == f"{API}/runs" else EXPERIMENT)

    def _answer(self, status: int, content: object) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def cluster() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of the API, and what was submitted to it."""
    submitted: list[dict[str, Any]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Mine", (Api,), {"submitted": submitted}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", submitted
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_submitted_run_carries_pipeline_arguments_and_image(cluster: tuple[str, list[dict[str, Any]]]) -> None:
    endpoint, submitted = cluster

    run_id = Cluster(endpoint).submit(find("training"), {"viewers": 7, "max_failed_share": 1}, image="here/rapt:2")

    assert run_id == "run-1"
    experiment, body = submitted
    assert experiment["display_name"] == "rapt"
    assert body["experiment_id"] == "experiment-1"
    assert body["runtime_config"]["parameters"] == {"viewers": 7, "max_failed_share": 1}
    sent = body["pipeline_spec"]
    (own, platform) = yaml.safe_load_all(compiled(find("training"), "here/rapt:2"))
    assert sent == {"pipeline_spec": own, "platform_spec": platform}


def test_runs_are_listed(cluster: tuple[str, list[dict[str, Any]]]) -> None:
    assert Cluster(cluster[0]).runs() == [Run("run-1", "mine", "PENDING", "2026-11-24T01:02:03+00:00")]


def test_nothing_is_sent_of_a_wrong_run(cluster: tuple[str, list[dict[str, Any]]]) -> None:
    endpoint, submitted = cluster
    with pytest.raises(InvalidArgument, match="training-from-logs needs source"):
        Cluster(endpoint).submit(find("training_from_logs"), {})
    with pytest.raises(PipelineNotPortable, match=f"other-image.*{IMAGE}"):
        Cluster(endpoint).submit(other_image, {})
    assert submitted == []


@pytest.mark.parametrize(
    ("endpoint", "told"), [("", "set RAPT_KFP_ENDPOINT"), ("cluster:80", "'cluster:80' is not of the form")]
)
def test_a_missing_endpoint_says_what_to_do(endpoint: str, told: str) -> None:
    with pytest.raises(ClusterUnset, match=told):
        Cluster(endpoint)


def test_a_silent_cluster_is_named() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        port = server.server_port
    with pytest.raises(ClusterUnreachable, match=f"http://127.0.0.1:{port} does not answer: .*port-forward"):
        Cluster(f"http://127.0.0.1:{port}").runs()


def test_a_refusal_is_named_with_its_status(cluster: tuple[str, list[dict[str, Any]]]) -> None:
    with pytest.raises(ClusterUnreachable, match="refuses: 404"):
        Cluster(f"{cluster[0]}/elsewhere").runs()
