"""A worker's four routes over real HTTP."""

import socket
from http import HTTPStatus

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from wire.errors import PortTaken
from wire.http import Reply, reply, serving, worker_routes

HOST = "127.0.0.1"


def broken() -> str:
    raise ZeroDivisionError("secret detail")


def test_a_worker_tells_what_it_waits_for_until_it_is_ready() -> None:
    waits = ["a model"]
    routes = worker_routes(ready=lambda: waits[0], status=lambda: {"videos": 3}, registry=CollectorRegistry())
    with serving(HOST, 0, routes) as port, httpx.Client(base_url=f"http://{HOST}:{port}") as client:
        answer = client.get("/ready")
        assert (answer.status_code, answer.json()) == (503, {"ready": False, "waits_for": "a model"})
        waits[0] = ""
        answer = client.get("/ready")
        assert (answer.status_code, answer.json()) == (200, {"ready": True, "waits_for": ""})
        assert client.get("/live").status_code == 200
        assert client.get("/status?x=1").json() == {"videos": 3}
        assert client.head("/status").text == ""


def test_metrics_are_prometheus_text() -> None:
    registry = CollectorRegistry()
    Counter("rapt_things", "Things.", registry=registry).inc(2)
    routes = worker_routes(ready=str, status=dict, registry=registry)
    with serving(HOST, 0, routes) as port:
        answer = httpx.get(f"http://{HOST}:{port}/metrics")
    assert "rapt_things_total 2.0" in answer.text
    assert answer.headers["content-type"].startswith("text/plain")


def test_a_failing_route_is_a_500_without_details_and_an_unknown_one_a_404() -> None:
    routes = worker_routes(ready=broken, status=dict, registry=CollectorRegistry())
    with serving(HOST, 0, routes) as port:
        failed, unknown = (httpx.get(f"http://{HOST}:{port}{path}") for path in ("/ready", "/else"))
    assert failed.status_code == 500
    assert failed.json() == {"error": "ZeroDivisionError; see the log"}
    assert unknown.status_code == 404
    assert "/ready" in unknown.json()["error"]


def test_a_port_that_somebody_holds_is_named() -> None:
    with socket.socket() as held:
        held.bind((HOST, 0))
        held.listen()
        port = held.getsockname()[1]
        with pytest.raises(PortTaken, match=f"{HOST}:{port}"), serving(HOST, port, {}):
            pass


def test_paths_without_a_route_go_to_another_if_there_is_one() -> None:
    routes = worker_routes(ready=lambda: "", status=dict, registry=CollectorRegistry())

    def other(path: str) -> Reply:
        return reply({"path": path}, HTTPStatus.ACCEPTED)

    with serving(HOST, 0, routes, other) as port, httpx.Client(base_url=f"http://{HOST}:{port}") as client:
        answer = client.get("/reports/a/b?x")
        assert (answer.status_code, answer.json()) == (202, {"path": "/reports/a/b"})
        assert client.get("/live").status_code == 200
