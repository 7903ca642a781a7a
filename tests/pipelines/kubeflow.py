"""A Kubeflow Pipelines API that keeps its runs in memory and takes nothing that the real one would refuse.

Paths, methods, query parameters and bodies are held against the generated client `kfp_server_api`, compiled pipelines
against the protocol buffers of kfp and kfp-kubernetes; an unknown field is HTTP 400, as grpc-gateway answers. What it
answers goes through the same check, and its oddities are those of 2.17.0: moments that have not come are 1970, a task's
error and pod stay empty, a step is the Argo node of that name beside its driver and executor, a run that was terminated
ends as FAILED.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import itertools
import json
import re
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp
import kfp_server_api as api
from google.protobuf import json_format
from google.protobuf.message import Message
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec
from kfp_server_api import models

SERVICES = (
    api.ExperimentServiceApi, api.HealthzServiceApi, api.PipelineServiceApi, api.RecurringRunServiceApi,
    api.RunServiceApi,
)  # fmt: skip
INT64 = {"execution_id", "interval_second", "max_concurrency", "pipeline_context_id", "pipeline_run_context_id"}
"""Fields that protobuf's JSON writes as text and reads as a number too."""
NEVER, BEGUN, ENDED = "1970-01-01T00:00:00Z", "2026-11-24T01:02:03Z", "2026-11-24T01:03:08Z"
OVER = {"SUCCEEDED", "FAILED", "CANCELED"}


@dataclass(frozen=True)
class Operation:
    """One call of the API; `body` and `answer` are types as the generated client names them."""

    name: str
    method: str
    path: re.Pattern[str]
    query: frozenset[str]
    body: str
    answer: str


@dataclass(frozen=True)
class Frame:
    """What a run looks like when it is asked for once: its state, and that of each step by its task's name."""

    state: str
    tasks: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """An answer with an HTTP status and grpc-gateway's body."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Kubeflow:
    """The API's state. `bodies` are those of all requests that changed something; `film` is what each run shows.

    `token`: the only one that is let in; `namespaces`: whether it serves several users; `silent`: requests that are
    not answered, for an outage.
    """

    def __init__(self) -> None:
        self.experiments: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.recurring: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, dict[str, Any]] = {}
        self.bodies: list[tuple[str, dict[str, Any]]] = []
        self.asked: list[str] = []
        self.film: Sequence[Frame] = (Frame("PENDING"),)
        self.token = ""
        self.namespaces = False
        self.silent = 0
        self._shown: dict[str, Iterator[Frame]] = {}

    def answer(self, operation: Operation, path: Mapping[str, str], query: Mapping[str, str], body: Any) -> Any:
        """What the API answers; raises Refusal."""
        self.asked.append(operation.name)
        if body is not None:
            check(body, operation.body)
            if "pipeline_spec" in body:
                check_pipeline(body["pipeline_spec"])
            self.bodies.append((operation.name, body))
        return getattr(self, operation.name)(path=path, query=query, body=body)

    def experiment_service_list_experiments(self, query: Mapping[str, str], **_: Any) -> Any:
        self._needs_namespace(query)
        return {"experiments": selected(self.experiments, query), "total_size": len(self.experiments)}

    def experiment_service_create_experiment(self, body: dict[str, Any], **_: Any) -> Any:
        self._needs_namespace(body)
        made = {"experiment_id": new_id(), "created_at": BEGUN, "storage_state": "AVAILABLE", **body}
        self.experiments[made["experiment_id"]] = made
        return made

    def run_service_create_run(self, body: dict[str, Any], **_: Any) -> Any:
        self._checked(body)
        times = {"created_at": BEGUN, "scheduled_at": BEGUN, "finished_at": NEVER}
        made = {"run_id": new_id(), "state": "PENDING", "storage_state": "AVAILABLE", **times, **body}
        self.runs[made["run_id"]] = made
        return made

    def run_service_list_runs(self, query: Mapping[str, str], **_: Any) -> Any:
        self._needs_namespace(query)
        return {"runs": selected(self.runs, query), "total_size": len(self.runs)}

    def run_service_get_run(self, path: Mapping[str, str], **_: Any) -> Any:
        run = self._one(self.runs, path["run_id"], "Run")
        if path["run_id"] not in self._shown:
            self._shown[path["run_id"]] = itertools.chain(self.film[:-1], itertools.repeat(self.film[-1]))
        if run["state"] == "CANCELING":
            self._show(run, Frame("FAILED", dict.fromkeys(self.film[-1].tasks, "FAILED")))
        elif run["state"] not in OVER:
            self._show(run, next(self._shown[path["run_id"]]))
        return run

    def run_service_terminate_run(self, path: Mapping[str, str], **_: Any) -> Any:
        run = self._one(self.runs, path["run_id"], "Run")
        if run["state"] in OVER:
            raise Refusal(400, f"Failed to terminate a run {path['run_id']}. Row not found")
        run["state"] = "CANCELING"
        run["state_history"] = [{"update_time": BEGUN, "state": "CANCELING"}]
        return {}

    def recurring_run_service_create_recurring_run(self, body: dict[str, Any], **_: Any) -> Any:
        self._checked(body)
        if not 1 <= int(body.get("max_concurrency", 0)) <= 10:
            raise Refusal(400, "Max concurrency of a recurring run must be at least 1 and at most 10.")
        if len(body["trigger"]) != 1:
            raise Refusal(400, "oneof trigger takes one schedule")
        made = {"recurring_run_id": new_id(), "created_at": BEGUN, "updated_at": BEGUN, "status": "ENABLED", **body}
        self.recurring[made["recurring_run_id"]] = made
        return made

    def recurring_run_service_list_recurring_runs(self, query: Mapping[str, str], **_: Any) -> Any:
        self._needs_namespace(query)
        return {"recurringRuns": selected(self.recurring, query), "total_size": len(self.recurring)}

    def recurring_run_service_delete_recurring_run(self, path: Mapping[str, str], **_: Any) -> Any:
        self._one(self.recurring, path["recurring_run_id"], "RecurringRun")
        del self.recurring[path["recurring_run_id"]]
        return {}

    def pipeline_service_get_pipeline_version(self, path: Mapping[str, str], **_: Any) -> Any:
        return self._one(self.versions, path["pipeline_version_id"], "PipelineVersion")

    def healthz_service_get_healthz(self, **_: Any) -> Any:
        return {"multi_user": self.namespaces}

    def _checked(self, body: Mapping[str, Any]) -> None:
        self._one(self.experiments, body.get("experiment_id", ""), "Experiment")
        if not body.get("display_name"):
            raise Refusal(400, "The run name is empty. Please specify a valid name")

    def _needs_namespace(self, fields: Mapping[str, Any]) -> None:
        if self.namespaces and not fields.get("namespace"):
            raise Refusal(400, "Invalid input error: A namespace is needed in multi-user mode")

    def _one(self, among: Mapping[str, Any], key: str, kind: str) -> Any:
        if key not in among:
            raise Refusal(404, f"ResourceNotFoundError: {kind} {key} not found")
        return among[key]

    def _show(self, run: dict[str, Any], frame: Frame) -> None:
        over = frame.state in OVER
        run["state"], run["finished_at"] = frame.state, ENDED if over else NEVER
        nodes = {"training-x7f2k": frame.state, "root-driver": "SUCCEEDED", "root": frame.state}
        for task, state in frame.tasks.items():
            nodes |= {f"{task}-driver": "SUCCEEDED", task: state}
        details = [self._node(run["run_id"], name, state) for name, state in nodes.items()]
        details += [self._node(run["run_id"], "executor(0)", state) for state in frame.tasks.values()]
        run["run_details"] = {"task_details": details}

    def _node(self, run_id: str, name: str, state: str) -> dict[str, Any]:
        ended = ENDED if state in OVER else NEVER
        times = {"create_time": BEGUN, "start_time": BEGUN, "end_time": ended}
        children = [{"pod_name": f"training-x7f2k-{abs(hash(name))}"}]
        return {
            "run_id": run_id,
            "task_id": new_id(),
            "display_name": name,
            "state": state,
            "child_tasks": children,
        } | times


def operations() -> Iterator[Operation]:
    """Every call of the generated client, read from its source."""
    for service in SERVICES:
        for name, function in inspect.getmembers(service, inspect.isfunction):
            if name.startswith("_") or not name.endswith("_with_http_info"):
                continue
            source = inspect.getsource(function)
            path, method = re.findall(r"call_api\(\s*'([^']+)', '(\w+)'", source)[0]
            body = re.findall(r"body_params = local_var_params\['(\w+)'\]", source)
            kind = re.findall(rf":type {body[0]}: (\S+)", source)[0] if body else ""
            yield Operation(
                name.removesuffix("_with_http_info"),
                method,
                re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/:]+)", path)),
                frozenset(re.findall(r"query_params\.append\(\('(\w+)'", source)),
                kind,
                re.findall(r"response_type='([^']+)'", source)[0],
            )


def check(value: Any, kind: str, place: str = "") -> None:
    """Raise Refusal unless protobuf's JSON would read `value` as the `kind` that the generated client names."""
    if inner := re.fullmatch(r"list\[(.+)\]", kind):
        fits = isinstance(value, list)
        for one in value if fits else ():
            check(one, inner[1], place)
    elif inner := re.fullmatch(r"dict\(str, (.+)\)", kind):
        fits = isinstance(value, dict)
        for key, one in value.items() if fits else ():
            check(one, inner[1], f"{place}.{key}")
    elif kind == "object":
        fits = True
    elif kind == "datetime":
        fits = isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    elif kind in {"str", "bool", "int"}:
        last = place.rpartition(".")[2]
        fits = type(value).__name__ == kind or (last in INT64 and type(value) is int)
        fits = fits and (last not in INT64 or str(value).isdigit())
    else:
        model = getattr(models, kind)
        if not model.openapi_types:
            fits = value in getattr(model, "allowable_values", (value,))
        else:
            fits = isinstance(value, dict)
            known = {key: model.openapi_types[name] for name, key in model.attribute_map.items()}
            for key, one in value.items() if fits else ():
                if key not in known:
                    raise Refusal(400, f'proto: unknown field "{key}" in {kind} {place}')
                check(one, known[key], f"{place}.{key}")
    if not fits:
        raise Refusal(400, f"proto: {place} = {value!r} is no {kind}")


def check_pipeline(given: Mapping[str, Any]) -> None:
    """Raise Refusal unless it is a pipeline, or one with a platform, in which every field is known."""
    try:
        parsed(given.get("pipeline_spec", given), PipelineSpec())
        for platform in parsed(given.get("platform_spec", {}), PlatformSpec()).platforms.values():
            for config in platform.deployment_spec.executors.values():
                parsed(json_format.MessageToDict(config), kubernetes_config())
    except json_format.ParseError as error:
        raise Refusal(400, f"Invalid input error: invalid pipeline spec: {error}") from error


def parsed(given: Mapping[str, Any], message: Any) -> Any:
    """`message` filled from its JSON form; raises ParseError for an unknown field or a wrong type."""
    return json_format.ParseDict(given, message)


def kubernetes_config() -> Message:
    """An empty configuration of a step's pod; kfp.kubernetes around it needs all of kfp, which our tests leave out."""
    spec = importlib.util.spec_from_file_location(
        "kubernetes_executor_config_pb2",
        Path(kfp.__file__).with_name("kubernetes") / "kubernetes_executor_config_pb2.py",
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config: Message = module.KubernetesExecutorConfig()
    return config


def selected(among: Mapping[str, dict[str, Any]], query: Mapping[str, str]) -> list[dict[str, Any]]:
    """Those that a list's filter lets through, in its order, its first page."""
    found = list(among.values())
    for predicate in json.loads(query.get("filter", "{}")).get("predicates", ()):
        assert predicate["operation"] in {"EQUALS", 1}, "the tests ask for nothing else"
        found = [one for one in found if one[predicate["key"]] == predicate["stringValue"]]
    if "namespace" in query:
        found = [one for one in found if one.get("namespace", query["namespace"]) == query["namespace"]]
    key, _, way = query.get("sort_by", "").partition(" ")
    if key:
        found.sort(key=lambda one: one[key])
    if way == "desc":
        found.reverse()
    return found[: int(query.get("page_size") or 20)]


def new_id() -> str:
    """As Kubeflow names runs and experiments."""
    return str(uuid.uuid4())


OPERATIONS = tuple(operations())


class Handler(BaseHTTPRequestHandler):
    """HTTP around one `Kubeflow`."""

    kubeflow: Kubeflow

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        if self.kubeflow.silent:
            self.kubeflow.silent -= 1
            self.close_connection = True
            return
        try:
            operation, path = self._operation()
            query = {key: values[-1] for key, values in parse_qs(urlsplit(self.path).query).items()}
            if unknown := set(query) - operation.query:
                raise Refusal(400, f"{operation.name} has no query parameter {sorted(unknown)}")
            if bool(body is not None) != bool(operation.body):
                raise Refusal(400, f"{operation.name} takes {operation.body or 'no body'}")
            if self.kubeflow.token and self.headers.get("authorization") != f"Bearer {self.kubeflow.token}":
                raise Refusal(401, "Unauthenticated: Request header error: there is no user identity header.")
            answer = self.kubeflow.answer(operation, path, query, body)
            check(answer, operation.answer)
            self._send(200, answer)
        except Refusal as refusal:
            self._send(refusal.status, {"code": 3, "message": str(refusal), "details": []})

    do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = _serve

    def _operation(self) -> tuple[Operation, dict[str, str]]:
        path = urlsplit(self.path).path
        for one in OPERATIONS:
            if one.method == self.command and (found := one.path.fullmatch(path)):
                return one, found.groupdict()
        raise Refusal(404, "Not Found")

    def _send(self, status: int, content: Any) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[ThreadingHTTPServer]:
    """A server of `handler` on loopback while inside."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def running() -> Iterator[tuple[str, Kubeflow]]:
    """An empty API's address, and its state."""
    kubeflow = Kubeflow()
    with serving(type("Mine", (Handler,), {"kubeflow": kubeflow})) as server:
        yield f"http://127.0.0.1:{server.server_port}", kubeflow
