"""The page Live: ranked by the endpoint, acts that reach the stream, chances that move, and what may fail."""

from __future__ import annotations

import os

import pytest

from interest.bundle import Bundle
from interest.records import Kind
from tests.monitoring.app.conftest import Page, read_as_markdown, texts
from tests.monitoring.app.stage import HOSTILE
from tests.ports import free_ports
from tests.rapt.endpoint import Endpoint
from tests.rapt.stream import events_of
from wire.objects import ObjectStore

CHANCE = "Chance, place"


def answering(endpoint: Endpoint, events: int, chances: dict[str, float]) -> None:
    """Every video has the chance .1 but those given."""

    def answer(instance: dict) -> tuple[int, object]:
        videos = [{"video_id": one, "probability": chances.get(one, 0.1)} for one in instance["video_ids"]]
        made = {
            "user_id": instance["user_id"], "request_id": f"r{events}", "arm": "candidate", "model_digest": "ab" * 32,
            "state_age_ms": 7, "events": events, "now_ms": 1000, "videos": videos, "unknown_videos": [],
        }  # fmt: skip
        return 200, {"predictions": [made]}

    endpoint.answer = answer


def chances(at: object) -> list[tuple[str, str]]:
    return [(one.value, one.delta) for one in at.metric if one.label.startswith(CHANCE)]  # type: ignore[attr-defined]


def test_the_feed_is_ranked_and_an_act_moves_it(
    published: Bundle, endpoint: Endpoint, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(endpoint, 3, {"sim-00002": 0.5, "sim-00001": 0.4})
    at = page("live")
    assert not at.exception and not at.error
    assert [value for value, _ in chances(at)][:3] == ["50.0%", "40.0%", "10.0%"]
    assert "sim-00002" in at.text[1].value
    assert {one.label: one.value for one in at.metric}["State age"] == "7 ms"
    assert "arm candidate" in texts(at)
    viewer = endpoint.asked[-1][1]["instances"][0]["user_id"]

    answering(endpoint, 4, {"sim-00002": 0.3, "sim-00001": 0.6})
    at.button(key="watch-1").click().run()
    assert chances(at)[:2] == [("60.0%", "+20.0 points"), ("30.0%", "-20.0 points")]
    assert "40.0% → 60.0%" in texts(at)
    mine = events_of(dict(os.environ), lambda event: event.user_id == viewer and event.request_id == "r3", 2)
    shown, watched = mine
    assert (shown.kind, shown.video_id, shown.position) == (Kind.IMPRESSION, "sim-00002", 1)
    assert (watched.kind, watched.video_id, watched.position) == (Kind.WATCH, "sim-00002", 1)
    assert watched.watch_ms >= 2000

    at.button(key="skip-2").click().run()
    at.button(key="like-2").click().run()
    mine = events_of(dict(os.environ), lambda event: event.user_id == viewer and event.request_id == "r4", 3)
    assert [event.kind for event in mine] == [Kind.IMPRESSION, Kind.SKIP, Kind.LIKE], "shown once a request"


def test_any_viewer_may_be_looked_at_and_is_nothing_but_text(published: Bundle, endpoint: Endpoint, page: Page) -> None:
    at = page("live", viewer=HOSTILE[:200])
    assert not at.exception
    assert endpoint.asked[-1][1]["instances"][0]["user_id"] == HOSTILE[:200]
    assert "onerror" not in read_as_markdown(at)


def test_captions_and_topics_are_nothing_but_text(published: Bundle, endpoint: Endpoint, page: Page) -> None:
    answering(endpoint, 3, {"sim-00000": 0.9})
    at = page("live")
    assert HOSTILE in texts(at)
    assert "onerror" not in read_as_markdown(at)


def test_without_a_model_it_says_what_makes_one(store: ObjectStore, endpoint: Endpoint, page: Page) -> None:
    at = page("live")
    assert [one.value for one in at.error] == ["No model is published yet"]
    assert at.code[0].value == "rapt pipeline run training"


def test_without_a_store_it_says_so(store: ObjectStore, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPT_S3_ENDPOINT", f"http://127.0.0.1:{free_ports()}")
    at = page("live")
    assert [one.value for one in at.error] == ["The object store does not answer"]
    assert "127.0.0.1" in texts(at)
    monkeypatch.delenv("RAPT_S3_ENDPOINT")
    assert "does not know where the object store is" in page("live").error[0].value


@pytest.mark.parametrize(
    ("address", "told"),
    [("", "does not know where the endpoint is"), ("http://127.0.0.1:9", "endpoint does not answer")],
)
def test_without_an_endpoint_it_says_so(
    published: Bundle, page: Page, monkeypatch: pytest.MonkeyPatch, address: str, told: str
) -> None:
    monkeypatch.setenv("RAPT_ENDPOINT", address)
    at = page("live")
    assert told in at.error[0].value
    assert at.selectbox[0].label == "Viewer", "the page stays"


def test_an_endpoint_that_refuses_or_lacks_something_is_quoted(
    published: Bundle, endpoint: Endpoint, page: Page
) -> None:
    endpoint.answer = lambda _: (503, {"error": f"the feeder is behind {HOSTILE}"})
    at = page("live")
    assert at.error[0].value == "The endpoint does not answer"
    assert f"the feeder is behind {HOSTILE}" in texts(at)
    assert "onerror" not in read_as_markdown(at)
    endpoint.answer = lambda _: (400, {"error": "no such thing"})
    assert page("live").error[0].value == "The endpoint refuses this request"


def test_a_dead_broker_costs_the_act_and_not_the_page(
    published: Bundle, endpoint: Endpoint, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPT_KAFKA_BOOTSTRAP", f"127.0.0.1:{free_ports()}")
    at = page("live")
    before = chances(at)
    at.button(key="like-1").click().run()
    assert [one.value for one in at.error] == ["The stream does not answer"]
    assert chances(at) == before


def test_an_event_that_no_prediction_knows_of_yet_is_told(
    published: Bundle, endpoint: Endpoint, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitoring.app.feed.COUNTS_WITHIN_S", 0.2)
    at = page("live")
    at.button(key="like-1").click().run()
    assert "no prediction knows of it yet" in at.warning[0].value
