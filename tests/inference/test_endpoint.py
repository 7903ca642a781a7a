"""The endpoint as its callers see it: every protocol, what is right, what is refused, what it logs."""

import json
import time

import grpc
import httpx
import msgspec
import numpy as np
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as service

from inference import protocol
from inference.state.timeline import rebuild
from interest.bundle import Bundle
from interest.records import Event, Exposure
from interest.scoring import Scorer
from interest.viewer_rows import ROW, feedback, row
from tests.inference.endpoint import Endpoint, watched
from tests.waiting import until
from wire.kafka import EVENTS, EXPOSURES

PREDICT, EXPLAIN, INFER = "/v1/models/interest:predict", "/v1/models/interest:explain", "/v2/models/interest/infer"
VIDEOS = ["sim-00001", "sim-00002", "never seen", "sim-00003"]


def body(user_id: str, video_ids: list[str] | None = None, **context: int) -> bytes:
    instance = {"user_id": user_id, "video_ids": video_ids or VIDEOS, "context": context}
    return json.dumps({"instances": [instance]}).encode()


def past(user_id: str, events: int, now_ms: int) -> list[Event]:
    """A watch a minute, the last one a minute before the moment."""
    return [
        watched(user_id, f"sim-{number:05d}", number, now_ms - 60_000 * (events - number)) for number in range(events)
    ]


def probabilities(endpoint: Endpoint, asked: bytes) -> list[float]:
    """What `:predict` says of each video."""
    (made,) = endpoint.post(PREDICT, asked).json()["predictions"]
    return [one["probability"] for one in made["videos"]]


def history(endpoint: Endpoint, user_id: str, events: int, now_ms: int) -> None:
    """Give the viewer a past, and wait until it is in the state."""
    sent = [
        watched(user_id, f"sim-{number:05d}", number, now_ms - 60_000 * (events - number)) for number in range(events)
    ]
    endpoint.send(sent)
    with endpoint.client as client:
        until(lambda: client.predict(user_id, VIDEOS).events == events, "the viewer's past")


def expected(bundle: Bundle, user_id: str, events: int, now_ms: int, position: int = 1) -> np.ndarray:
    """What evaluation's path says of the same past."""
    scorer = Scorer(bundle)
    rows = np.array([row(event) for event in past(user_id, events, now_ms)], ROW)
    candidates = scorer.catalogue.rows(VIDEOS)
    seen = feedback(rows, scorer.catalogue.rows_of)
    return scorer.predict(seen, now_ms, candidates, np.full(len(VIDEOS), position)).probability[0]


def test_a_prediction_is_what_evaluation_says_of_the_same_past(endpoint: Endpoint) -> None:
    now_ms = int(time.time() * 1000)
    history(endpoint, "same", 7, now_ms)
    answer = endpoint.post(PREDICT, body("same", now_ms=now_ms, position=3))
    (made,) = answer.json()["predictions"]
    assert [one["video_id"] for one in made["videos"]] == VIDEOS
    scores = [one["probability"] for one in made["videos"]]
    np.testing.assert_allclose(scores, expected(endpoint.bundle, "same", 7, now_ms, 3), atol=1e-6)
    assert made["unknown_videos"] == ["never seen"]
    assert made["arm"] == "stable"
    assert made["model_digest"] == endpoint.bundle.digest
    assert made["now_ms"] == now_ms


def test_all_protocols_say_the_same(endpoint: Endpoint) -> None:
    now_ms = int(time.time() * 1000)
    history(endpoint, "polyglot", 3, now_ms)
    v1 = probabilities(endpoint, body("polyglot", now_ms=now_ms))
    asked = {"inputs": [
        {"name": "user_id", "shape": [1], "datatype": "BYTES", "data": ["polyglot"]},
        {"name": "video_id", "shape": [4], "datatype": "BYTES", "data": VIDEOS},
        {"name": "now_ms", "shape": [1], "datatype": "INT64", "data": [now_ms]},
    ], "id": "mine"}  # fmt: skip
    v2 = endpoint.post(INFER, json.dumps(asked).encode()).json()
    assert v2["id"] == "mine"
    assert v2["model_name"] == "interest"
    assert v2["outputs"][0]["data"] == v1
    assert v2["outputs"][1]["data"] == [True, True, False, True]
    call = protocol.from_json(json.dumps(asked).encode())
    with grpc.insecure_channel(f"127.0.0.1:{endpoint.settings.serving_port + 1}") as channel:
        stub = service.GRPCInferenceServiceStub(channel)
        answer = protocol.from_response(stub.ModelInfer(protocol.request("interest", call.tensors)))
        assert answer.tensors["probability"].tolist() == v1
        assert answer.parameters["model_digest"] == endpoint.bundle.digest
        with pytest.raises(grpc.RpcError) as refused:
            stub.ModelInfer(protocol.request("interest", {"user_id": call.tensors["user_id"]}))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "'video_id' of type BYTES is missing" in refused.value.details()
        with pytest.raises(grpc.RpcError) as unknown:
            stub.ModelInfer(protocol.request("other", call.tensors))
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
        assert stub.ServerReady(pb.ServerReadyRequest()).ready
        with pytest.raises(grpc.RpcError) as unload:
            stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="interest"))
        assert unload.value.code() is grpc.StatusCode.UNIMPLEMENTED
    with endpoint.client as client:
        typed = client.predict("polyglot", VIDEOS, now_ms=now_ms)
        assert [one.probability for one in typed.videos] == v1
        assert client.ready()


def test_several_instances_are_answered_in_order(endpoint: Endpoint) -> None:
    instances = [{"user_id": f"many-{number}", "video_ids": VIDEOS[: number + 1]} for number in range(4)]
    made = endpoint.post(PREDICT, json.dumps({"instances": instances}).encode()).json()["predictions"]
    assert [(one["user_id"], len(one["videos"])) for one in made] == [(f"many-{n}", n + 1) for n in range(4)]
    assert len({one["request_id"] for one in made}) == 4


def test_the_last_action_counts_in_the_next_prediction(endpoint: Endpoint) -> None:
    now_ms = int(time.time() * 1000)
    history(endpoint, "live", 2, now_ms)
    asked = body("live", now_ms=now_ms + 1)
    before = probabilities(endpoint, asked)
    endpoint.send([watched("live", "sim-00009", 99, now_ms)])
    until(lambda: probabilities(endpoint, asked) != before, "a changed prediction")


def test_events_at_or_after_the_moment_are_not_known_yet(endpoint: Endpoint) -> None:
    now_ms = int(time.time() * 1000)
    history(endpoint, "past", 5, now_ms)
    made = endpoint.post(PREDICT, body("past", now_ms=now_ms - 60_000 * 2)).json()["predictions"][0]
    assert made["events"] == 3


def test_a_device_whose_clock_is_ahead_has_its_last_action_counted(endpoint: Endpoint) -> None:
    ahead_ms = int(time.time() * 1000) + 90_000
    endpoint.send([watched("ahead", "sim-00004", 0, ahead_ms)])
    with endpoint.client as client:
        until(lambda: client.predict("ahead", VIDEOS).events == 1, "the event from the future")
        assert client.predict("ahead", VIDEOS).now_ms == ahead_ms + 1


def test_an_exposure_holds_all_that_the_scores_follow_from(endpoint: Endpoint) -> None:
    now_ms = int(time.time() * 1000)
    history(endpoint, "exposed", 6, now_ms)
    made = endpoint.post(PREDICT, body("exposed", now_ms=now_ms)).json()["predictions"][0]
    found: list[Exposure] = []

    def arrived() -> bool:
        found.extend(
            exposure
            for record in endpoint.read_all(EXPOSURES)
            if (exposure := msgspec.json.decode(record.value or b"", type=Exposure)).request_id == made["request_id"]
        )
        return bool(found)

    until(arrived, "the exposure")
    exposure = found[0]
    assert (exposure.user_id, exposure.arm, exposure.propensity) == ("exposed", "stable", 1.0)
    assert list(exposure.candidates) == VIDEOS
    assert list(exposure.scores) == [one["probability"] for one in made["videos"]]
    partition, offset = exposure.state_offset
    records = [record for record in endpoint.read_all(EVENTS) if record.partition == partition]
    rows = rebuild(records, "exposed", exposure.state_since, offset)
    scorer = Scorer(endpoint.bundle)
    seen = feedback(rows, scorer.catalogue.rows_of)
    candidates = scorer.catalogue.rows(list(exposure.candidates))
    again = scorer.predict(seen, exposure.ts_ms, candidates, np.array(exposure.positions)).probability[0]
    assert again.tolist() == list(exposure.scores), "the scores do not follow from the exposure alone"


def test_an_explanation_is_the_prediction_taken_apart(endpoint: Endpoint) -> None:
    now_ms = int(time.time() * 1000)
    history(endpoint, "why", 4, now_ms)
    made = endpoint.post(PREDICT, body("why", now_ms=now_ms)).json()["predictions"][0]
    answer = endpoint.post(EXPLAIN, body("why", now_ms=now_ms), authorization="Bearer secret", cookie="session=1")
    assert answer.status_code == 200, answer.text
    assert "secret" not in str(answer.headers) + answer.text
    assert "cookie" not in answer.headers
    (explained,) = answer.json()["explanations"]
    assert explained["model_digest"] == endpoint.bundle.digest
    for video, scored in zip(explained["videos"], made["videos"], strict=True):
        assert video["probability"] == pytest.approx(scored["probability"], abs=1e-6)
        assert sum(video["terms"].values()) == pytest.approx(video["logit"], abs=1e-5)
        assert sum(event["weight"] for event in video["past"]) + video["start_weight"] == pytest.approx(1.0, abs=1e-5)
        assert {event["video_id"] for event in video["past"]} == {f"sim-{number:05d}" for number in range(4)}
        assert {event["kind"] for event in video["past"]} == {"watch"}


REFUSED = [
    (b"", "the body is no JSON"),
    (b"{", "the body is no JSON"),
    (b"[]", "Expected `object`, got `array`"),
    (b"{}", "missing required field `instances`"),
    (b'{"instances": []}', "length >= 1 - at `$.instances`"),
    (b'{"instances": [{"user_id": "u"}]}', "missing required field `video_ids` - at `$.instances[0]`"),
    (body(""), "length >= 1 - at `$.instances[0].user_id`"),
    (json.dumps({"instances": [{"user_id": "u", "video_ids": []}]}).encode(), "length >= 1"),
    (json.dumps({"instances": [{"user_id": "u", "video_ids": [1]}]}).encode(), "`$.instances[0].video_ids[0]`"),
    (json.dumps({"instances": [{"user_id": "u", "video_ids": ["v"], "context": {"positon": 1}}]}).encode(), "positon"),
    (body("u", position=0), "Expected `int` >= 1 - at `$.instances[0].context.position`"),
    (body("u", position=-5), ">= 1"),
    (body("u", now_ms=-1), ">= 0"),
    (b'{"instances": [{"user_id": "u", "video_ids": ["v"], "context": {"position": NaN}}]}', "no JSON"),
    (b'{"instances": [{"user_id": "\xff\xfe", "video_ids": ["v"]}]}', "no JSON"),
    (body("u" * 257), "length <= 256"),
    (body("u", ["v"] * 501), "length <= 500"),
    (body("u", [f"v{n}" for n in range(100_000)]), None),
    (b"[" * 100_000, None),
    (b" " * (2 << 20), "the body has over"),
]


def test_a_whole_float_is_an_integer_and_another_is_not(endpoint: Endpoint) -> None:
    asked = b'{"instances": [{"user_id": "u", "video_ids": ["v"], "context": {"position": %s}}]}'
    assert endpoint.post(PREDICT, asked % b"3.0").status_code == 200
    refused = endpoint.post(PREDICT, asked % b"3.5")
    assert refused.status_code == 400
    assert "Expected `int`, got `float` - at `$.instances[0].context.position`" in refused.json()["error"]


@pytest.mark.parametrize("route", [PREDICT, EXPLAIN, INFER])
def test_what_is_no_request_is_refused_with_the_reason(endpoint: Endpoint, route: str) -> None:
    for asked, words in REFUSED:
        answer = endpoint.post(route, asked)
        assert answer.status_code in (400, 413), (asked[:80], answer.status_code, answer.text)
        reason = answer.json()["error"]
        assert reason
        if route == PREDICT and words:
            assert words in reason, (asked[:80], reason)


@pytest.mark.parametrize("user_id", ["пользователь", "用户", "👩‍🚀", "\u0000", "a/b?c#d", "مشاهد"])
def test_any_script_is_a_viewers_name(endpoint: Endpoint, user_id: str) -> None:
    made = endpoint.post(PREDICT, body(user_id)).json()["predictions"][0]
    assert made["user_id"] == user_id
    assert made["events"] == 0


def test_paths_and_methods_that_are_not_there_say_so(endpoint: Endpoint) -> None:
    wrong = httpx.get(f"{endpoint.url}{PREDICT}")
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "POST"
    assert endpoint.post("/v1/models/other:predict", b"{}").status_code == 404
    assert endpoint.post("/v2/repository/models/interest/unload", b"{}").status_code == 400
    assert httpx.get(f"{endpoint.url}/v1/models").json() == {"models": ["interest"]}
    assert httpx.get(f"{endpoint.url}/v2/models/interest").json()["inputs"][0]["name"] == "user_id"
    assert endpoint.post(PREDICT, body("still here")).status_code == 200


def test_metrics_tell_of_requests_state_and_exposures(endpoint: Endpoint) -> None:
    endpoint.post(PREDICT, body("measured"))
    text = httpx.get(f"{endpoint.url}/metrics").text
    digest = endpoint.bundle.digest[:12]
    for line in (
        'rapt_request_seconds_count{code="200",route="interest:predict"}', 'rapt_stage_seconds_count{stage="state"}',
        'rapt_stage_seconds_count{stage="predictor"}', "rapt_state_age_ms_count", "rapt_state_lag_records",
        f'rapt_predictions_total{{arm="stable",model="{digest}"}}', 'rapt_fallbacks_total{what="viewer"}',
        'rapt_exposures_total{arm="stable"}',
    ):  # fmt: skip
        assert line in text, line
    assert "rapt_exposures_lost_total 0.0" in text
    inner = httpx.get(f"{endpoint.services['predictor'].address}/metrics").text
    for line in ("rapt_predictor_batch_seconds_count", 'rapt_predictor_viewers_total{cache="miss"}'):
        assert line in inner, line
