"""The feed between a real broker, a real object store and a web server: what comes out for what comes in."""

import threading
from pathlib import Path

import numpy as np
import pytest

from interest.records import Video
from tests.inference.catalogue_feed.material import CAPTIONS, Model
from tests.inference.catalogue_feed.stage import Stage, content_of
from tests.waiting import until
from tests.wire.web import Handler, file, status

pytestmark = pytest.mark.slow

TORCH = 5e-5
"""How far ONNX Runtime may be from torch."""


def test_content_is_what_training_made_of_the_same_video(stage: Stage, model: Model, clips: dict[str, Path]) -> None:
    digest = stage.publish(model)
    stage.send(*(stage.video(name, path) for name, path in clips.items()))
    with stage.worker():
        made = {one.video_id: one for one in stage.contents(len(clips))}
    assert set(made) == set(CAPTIONS)
    durations = dict(zip(model.bundle.catalogue().video_ids, model.bundle.catalogue().duration_s, strict=True))
    for name, one in made.items():
        assert one.model_digest == digest
        assert one.duration_s == durations[name]
        np.testing.assert_allclose(content_of(one), model.encoded(name), atol=1e-5)
        np.testing.assert_allclose(content_of(one), model.content(name), atol=TORCH)


def test_what_is_missing_has_the_models_own_token(stage: Stage, model: Model, clips: dict[str, Path]) -> None:
    stage.publish(model)
    stage.send(*(stage.video(name, clips[name]) for name in ("carphone", "hum")))
    with stage.worker():
        carphone, hum = sorted(stage.contents(2), key=lambda one: one.video_id)
    missing = model.bundle.catalogue().missing
    np.testing.assert_array_equal(content_of(carphone)[1:], missing[1:])
    np.testing.assert_array_equal(content_of(hum)[0], missing[0])


@pytest.mark.parametrize("scheme", ["bucket", "web"])
def test_a_video_may_lie_in_the_bucket_or_on_the_web(
    stage: Stage, model: Model, clips: dict[str, Path], scheme: str
) -> None:
    stage.publish(model)
    stage.store.put_file("elsewhere/red", clips["red"])
    uri = stage.store.uri("elsewhere/red") if scheme == "bucket" else stage.show(clips["red"])
    stage.send(Video(video_id="red", uri=uri, caption=CAPTIONS["red"], duration_s=99.0))
    with stage.worker():
        (one,) = stage.contents(1)
    np.testing.assert_allclose(content_of(one), model.content("red"), atol=TORCH)
    assert one.duration_s == pytest.approx(2.0, abs=0.1)


def test_what_cannot_be_used_goes_to_the_dead_letters_with_its_reason_and_stops_nothing(
    stage: Stage, model: Model, clips: dict[str, Path], tmp_path: Path
) -> None:
    stage.publish(model)
    empty, text = tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.write_bytes(b"")
    text.write_text("this is no video " * 100)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clips["bunny"].read_bytes()[:2000])
    stage.web.routes["/gone.mp4"] = status(404)
    bad = {
        "gone": (stage.web.url("/gone.mp4"), "404"),
        "empty": (stage.show(empty), "empty"),
        "text": (stage.show(text), "InvalidVideo"),
        "cut": (stage.show(cut), "InvalidVideo"),
        "private": ("http://127.0.0.1:9/clip.mp4", "ForbiddenAddress"),
        "metadata": ("http://169.254.169.254/latest/meta-data", "ForbiddenAddress"),
        "local": ("/etc/passwd", "ForbiddenUrl"),
        "file": ("file:///etc/passwd", "ForbiddenUrl"),
        "nothing": (stage.store.uri("elsewhere/nothing"), "ObjectNotFound"),
        "other": ("s3://somebody-elses/video.mp4", "InvalidObjectName"),
    }
    stage.send(
        b"{no json",
        b'{"video_id": "x"}',
        b"",
        Video(video_id="", uri=stage.show(clips["red"]), duration_s=1.0),
        *(Video(video_id=name, uri=uri, duration_s=1.0) for name, (uri, _) in bad.items()),
        stage.video("red", clips["red"]),
    )
    with stage.worker() as metrics:
        dead = stage.dead(len(bad) + 4)
        (red,) = stage.contents(1)
        until(lambda: metrics.status.offsets == {0: len(bad) + 5})
    reasons = {record.key: dict(record.headers)["reason"].decode() for record in dead if record.key}
    for name, (_, reason) in bad.items():
        assert reason in reasons[name.encode()]
    nameless = sorted(dict(record.headers)["reason"].decode().partition(":")[0] for record in dead if not record.key)
    assert nameless == ["DecodeError", "DecodeError", "InvalidRecord", "ValidationError"]
    assert {dict(record.headers)["topic"] for record in dead} == {b"videos"}
    assert red.video_id == "red"
    assert (metrics.status.encoded, metrics.status.rejected) == (1, len(bad) + 4)


def test_loopback_is_refused_unless_it_is_allowed(stage: Stage, model: Model, clips: dict[str, Path]) -> None:
    stage.publish(model)
    stage.send(stage.video("red", clips["red"]))
    with stage.worker(RAPT_ALLOW_PRIVATE_ADDRESSES=""):
        (dead,) = stage.dead(1)
    assert b"ForbiddenAddress" in dict(dead.headers)["reason"]
    assert stage.web.requests == []


def test_a_slow_server_holds_up_nobody_else(stage: Stage, model: Model, clips: dict[str, Path]) -> None:
    go = threading.Event()
    body = clips["red"].read_bytes()

    def slow(handler: Handler) -> None:
        go.wait(60)
        file(body)(handler)

    stage.publish(model)
    slow_video = Video(video_id="slow", uri=stage.web.url("/slow.mp4"), duration_s=1.0)
    stage.web.routes["/slow.mp4"] = slow
    stage.send(slow_video, stage.video("blue", clips["blue"]))
    with stage.worker() as metrics:
        assert [one.video_id for one in stage.contents(1)] == ["blue"]
        until(lambda: metrics.status.in_flight == 1)
        assert metrics.status.offsets == {0: 0}  # the first message is not done yet: nothing may be noted
        go.set()
        assert [one.video_id for one in stage.contents(2)] == ["blue", "slow"]
        until(lambda: metrics.status.offsets == {0: 2})


def test_a_videos_messages_take_effect_in_their_order(stage: Stage, model: Model, clips: dict[str, Path]) -> None:
    """The first one's server is slow, so that the second is ready before it."""
    go = threading.Event()
    body = clips["blue"].read_bytes()

    def slow(handler: Handler) -> None:
        go.wait(60)
        file(body)(handler)

    stage.publish(model)
    stage.web.routes["/slow.mp4"] = slow
    first = Video(video_id="red", uri=stage.web.url("/slow.mp4"), caption=CAPTIONS["blue"], duration_s=1.0)
    stage.send(first, stage.video("red", clips["red"]), stage.video("tall", clips["tall"]))
    with stage.worker():
        assert [one.video_id for one in stage.contents(1)] == ["tall"]
        go.set()
        _, old, new = stage.contents(3)
    np.testing.assert_allclose(content_of(old), model.content("blue"), atol=TORCH)
    np.testing.assert_allclose(content_of(new), model.content("red"), atol=TORCH)
