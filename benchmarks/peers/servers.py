"""How each peer is started, and what it is asked: the same viewer and candidates in its own protocol.

All of them score with `host.Host`, one worker, one ONNX thread. Each is given its quickest documented setting:
MLServer scores in its own process (no worker pool), logs of requests and metrics are off.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import urllib3
from numpy.typing import NDArray

from benchmarks.peers import host
from benchmarks.peers.environment import python
from rapt import service
from rapt.service import Service

PROJECT = Path(__file__).parent.parent.parent
PREDICT = "/v1/models/interest:predict"
GRACE_S = 10.0
EQUAL = 1e-4
"""Probabilities that differ by no more are the same."""
Question = tuple[str, list[str]]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Started:
    """A server that answers: `pids` are the roots whose CPU time is its own."""

    name: str
    address: str
    pids: tuple[int, ...]


@dataclass(frozen=True)
class Protocol:
    """How a question becomes a request's body, and an answer's body probabilities, in the question's order."""

    path: str
    body: Callable[[Question, int], bytes]
    probabilities: Callable[[bytes], Floats]

    def ask(self, address: str, question: Question, now_ms: int) -> Floats:
        """One question's probabilities; raises for any answer but 200."""
        answer = urllib3.request(
            "POST", f"http://{address}{self.path}", body=self.body(question, now_ms), timeout=60, retries=False,
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        if answer.status != 200:
            raise RuntimeError(f"{address}{self.path} says {answer.status}: {answer.data[:300]!r}")
        return self.probabilities(answer.data)


def _v1_body(question: Question, now_ms: int) -> bytes:
    user_id, video_ids = question
    context = {"position": 1, "now_ms": now_ms}
    return json.dumps({"instances": [{"user_id": user_id, "video_ids": video_ids, "context": context}]}).encode()


def _v1_probabilities(answer: bytes) -> Floats:
    (prediction,) = json.loads(answer)["predictions"]
    return np.array([video["probability"] for video in prediction["videos"]])


def _v2_body(question: Question, _now_ms: int) -> bytes:
    user_id, video_ids = question
    inputs = [
        {"name": name, "datatype": "BYTES", "shape": [len(data), 1], "data": data}
        for name, data in (("user_id", [user_id]), ("video_id", video_ids))
    ]
    return json.dumps({"inputs": inputs}).encode()


def _v2_probabilities(answer: bytes) -> Floats:
    (output,) = json.loads(answer)["outputs"]
    return np.array(output["data"])


V1 = Protocol(PREDICT, _v1_body, _v1_probabilities)
V2 = Protocol("/v2/models/interest/infer", _v2_body, _v2_probabilities)


@dataclass(frozen=True)
class Peer:
    """One peer: `command` gets its Python, a port, and a folder of its own for what it wants to write."""

    name: str
    environment: str
    command: Callable[[Path, int, Path], tuple[str, ...]]
    protocol: Protocol = V1
    variables: Mapping[str, str] = field(default_factory=dict)


def _module(name: str) -> Callable[[Path, int, Path], tuple[str, ...]]:
    return lambda interpreter, port, _folder: (str(interpreter), "-m", f"benchmarks.peers.{name}", str(port))


def _bentoml(interpreter: Path, port: int, _folder: Path) -> tuple[str, ...]:
    return (str(interpreter), "-m", "bentoml", "serve", "benchmarks.peers.bentoml_app:Interest", "--port", str(port),
            "--host", "127.0.0.1", "--working-dir", str(PROJECT))  # fmt: skip


def _mlserver(interpreter: Path, port: int, folder: Path) -> tuple[str, ...]:
    server = {"host": "127.0.0.1", "http_port": port, "grpc_port": port + 1, "metrics_port": port + 2,
              "parallel_workers": 0, "debug": False, "metrics_endpoint": None}  # fmt: skip
    model = {"name": "interest", "implementation": "benchmarks.peers.mlserver_app.Interest"}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(model))
    return (str(interpreter.with_name("mlserver")), "start", str(folder))


PEERS = (
    Peer("FastAPI", "fastapi", _module("fastapi_app")),
    Peer("LitServe", "litserve", _module("litserve_app")),
    Peer("BentoML", "bentoml", _bentoml, variables={"BENTOML_DO_NOT_TRACK": "True"}),
    Peer("MLServer", "mlserver", _mlserver, protocol=V2),
    Peer("Ray Serve", "ray", _module("ray_app"), variables={"RAY_USAGE_STATS_ENABLED": "0"}),
)
NAIVE = Peer("naive", "fastapi", _module("naive_app"))


@dataclass(frozen=True)
class Hosted:
    """What every peer is given."""

    bundle: Path
    histories: Path
    now_ms: int

    def environment(self) -> dict[str, str]:
        """As `host.Host` reads it; one thread, so that a request's CPU time is spent on it."""
        return {host.BUNDLE: str(self.bundle), host.HISTORIES: str(self.histories), host.NOW_MS: str(self.now_ms),
                "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # fmt: skip


def start(peer: Peer, hosted: Hosted, folder: Path, port: int, question: Question, deadline_s: float = 90.0) -> Started:
    """Start it and wait until it answers a question; raises `ServiceFailed` with the end of its log."""
    own = folder / peer.environment
    address = f"127.0.0.1:{port}"

    def answers() -> bool:
        try:
            peer.protocol.ask(address, question, hosted.now_ms)
        except (urllib3.exceptions.HTTPError, RuntimeError):
            return False
        return True

    one = Service(
        name=peer.name.replace(" ", "-").lower(),
        command=peer.command(python(peer.environment), port, own),
        environment={**hosted.environment(), **peer.variables, "HOME": str(own)},
        ports=(port,),
        port_setting="port",
        address=address,
        data=own,
        ready=answers,
    )
    service.start(one, folder, deadline_s)
    process = service.find(one.name, folder)
    assert process is not None
    return Started(one.name, address, (process.pid,))


def stop(started: Started, folder: Path) -> None:
    """End it and all that it started: some leave workers behind."""
    below = [child for pid in started.pids for child in psutil.Process(pid).children(recursive=True)]
    service.stop(started.name, folder, GRACE_S)
    _, left = psutil.wait_procs(below, timeout=1.0)
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=GRACE_S)


def agree(
    peer: Peer, started: Started, questions: Sequence[Question], hosted: Hosted, expected: Sequence[Floats]
) -> float:
    """The largest difference of a probability from `expected`; at most `EQUAL`, or what is compared is not the same."""
    answers = [peer.protocol.ask(started.address, question, hosted.now_ms) for question in questions]
    worst = max(float(np.abs(a - e).max()) for a, e in zip(answers, expected, strict=True))
    assert worst <= EQUAL, f"{peer.name} answers otherwise: up to {worst}"
    return worst
