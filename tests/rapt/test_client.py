"""The typed client, against a real HTTP server."""

import threading
from collections.abc import Iterator

import msgspec
import pytest

from inference.errors import EndpointRefused, EndpointUnavailable, Unavailable
from inference.server.front import refused
from inference.transformer.messages import Scored, explain_request, predict_request
from rapt.client import Client
from tests.ports import free_ports
from tests.rapt.endpoint import DIGEST, Endpoint, serving


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving() as running:
        yield running


def test_a_prediction_comes_back_with_its_types(endpoint: Endpoint) -> None:
    with Client(endpoint.url) as client:
        made = client.predict("u1", ["v1", "v22"], position=2, now_ms=5)
    assert made.videos == [Scored("v1", 0.02), Scored("v22", 0.03)]
    assert (made.user_id, made.arm, made.model_digest, made.state_age_ms) == ("u1", "stable", DIGEST, 7)
    ((path, body),) = endpoint.asked
    assert path == "/v1/models/interest:predict"
    assert body == {
        "instances": [{"user_id": "u1", "video_ids": ["v1", "v22"], "context": {"position": 2, "now_ms": 5}}]
    }


def test_what_the_client_sends_is_what_the_endpoint_takes(endpoint: Endpoint) -> None:
    with Client(endpoint.url) as client:
        client.predict("u1", ["v1"])
        client.explain("u1", ["v1"], pictures=True)
    (_, predict), (_, explain) = endpoint.asked
    assert predict_request(msgspec.json.encode(predict)).instances[0].context.now_ms is None
    assert explain_request(msgspec.json.encode(explain)).pictures


def test_an_explanation_comes_back_with_its_types(endpoint: Endpoint) -> None:
    with Client(endpoint.url) as client:
        (video,) = client.explain("u1", ["v1"]).videos
    assert sum(video.terms.values()) == video.logit
    assert [(event.video_id, event.kind, event.weight) for event in video.past] == [("old", "like", 0.75)]


def test_a_refusal_carries_the_servers_reason(endpoint: Endpoint) -> None:
    endpoint.answer = lambda _: (400, {"error": "Expected `array` of length >= 1 - at `$.instances[0].video_ids`"})
    with Client(endpoint.url) as client, pytest.raises(EndpointRefused, match="of length >= 1") as refusal:
        client.predict("u1", [])
    assert refusal.value.status == 400


def test_what_the_endpoint_lacks_carries_when_to_ask_again(endpoint: Endpoint) -> None:
    """The very answer that our servers give."""
    reply = refused(Unavailable("no predictor"))
    endpoint.headers = {name.decode(): value.decode() for name, value in reply.headers}
    endpoint.answer = lambda _: (reply.status, bytes(reply.body))
    with Client(endpoint.url) as client, pytest.raises(EndpointUnavailable, match="no predictor") as failure:
        client.predict("u1", ["v1"])
    assert failure.value.retry_after_s == 1.0


def test_nobody_there_names_the_address() -> None:
    address = f"http://127.0.0.1:{free_ports()}"
    with Client(address) as client:
        assert not client.ready()
        with pytest.raises(EndpointUnavailable, match=f"{address}.*rapt up") as failure:
            client.predict("u1", ["v1"])
    assert failure.value.retry_after_s is None


def test_an_answer_too_late_is_no_answer(endpoint: Endpoint) -> None:
    go = threading.Event()
    endpoint.answer = lambda _: (200 if go.wait(10) else 500, {})
    with Client(endpoint.url, timeout_s=0.05) as client, pytest.raises(EndpointUnavailable, match="ReadTimeout"):
        client.predict("u1", ["v1"])
    go.set()


def test_somebody_elses_server_is_told(endpoint: Endpoint) -> None:
    endpoint.answer = lambda _: (200, b"<html>")
    with Client(endpoint.url) as client, pytest.raises(EndpointUnavailable, match="is it Rapt's"):
        client.predict("u1", ["v1"])
    endpoint.answer = lambda _: (502, b"<html>bad gateway")
    with Client(endpoint.url) as client, pytest.raises(EndpointUnavailable, match=r"bad gateway \(502"):
        client.predict("u1", ["v1"])


def test_ready_is_what_the_endpoint_says(endpoint: Endpoint) -> None:
    with Client(endpoint.url) as client:
        assert client.ready()
        endpoint.ready = False
        assert not client.ready()
