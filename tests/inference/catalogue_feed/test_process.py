"""The feed as the process that operators run: fast, and nothing lost whatever dies."""

import signal
import time
from pathlib import Path

import httpx
import psutil
import pytest

from inference.catalogue_feed.progress import Progress, ProgressNote
from interest.records import Video
from tests.inference.catalogue_feed.material import Model
from tests.inference.catalogue_feed.stage import Process, Stage
from tests.waiting import until

pytestmark = pytest.mark.slow


def noted(stage: Stage) -> dict[int, int]:
    return ProgressNote(stage.store, "latest").read().offsets


def decoder(feed: Process) -> psutil.Process:
    """The process that decodes, known by what it was started for."""
    (found,) = [
        child for child in psutil.Process(feed.popen.pid).children() if "spawn_main" in " ".join(child.cmdline())
    ]
    return found


def test_a_new_video_is_scorable_soon_after_its_message_and_the_end_is_graceful(
    stage: Stage, model: Model, clips: dict[str, Path]
) -> None:
    digest = stage.publish(model)
    with stage.process() as feed:
        feed.wait_ready()
        for number, name in enumerate(("bunny", "bikes"), start=1):
            begun = time.monotonic()
            stage.send(stage.video(name, clips[name]))
            assert [one.video_id for one in stage.contents(number)][-1] == name
            assert time.monotonic() - begun < 30
        until(lambda: feed.status().offsets == {0: 2})
        status = feed.status()
        assert (status.model_digest, status.encoded, status.waits_for) == (digest, 2, "")
        assert 0 < status.seconds < 30
        assert 'rapt_feed_videos_total{outcome="encoded"} 2.0' in feed.get("/metrics").text
        feed.popen.send_signal(signal.SIGTERM)
        assert feed.popen.wait(20) == 0
    assert "Traceback" not in feed.log.read_text()


def test_killed_in_the_middle_it_goes_on_where_it_was(stage: Stage, model: Model, clips: dict[str, Path]) -> None:
    stage.publish(model)
    names = [name for name in clips if name.startswith("plain")]
    stage.send(*(stage.video(name, clips[name]) for name in names))
    with stage.process() as feed:
        stage.contents(2)
        feed.popen.send_signal(signal.SIGKILL)
        feed.popen.wait()
    assert noted(stage).get(0, 0) < len(names), "it was through before it was killed"
    with stage.process() as feed:
        until(lambda: noted(stage) == {0: len(names)})
        contents = {}
        for one in stage.contents_of(set(names)):
            assert contents.setdefault(one.video_id, one) == one
        assert feed.status().rejected == 0


def test_a_decoder_that_is_killed_while_idle_costs_nothing(stage: Stage, model: Model, clips: dict[str, Path]) -> None:
    stage.publish(model)
    with stage.process() as feed:
        feed.wait_ready()
        old = decoder(feed)
        old.kill()
        until(lambda: not old.is_running() or old.status() == psutil.STATUS_ZOMBIE)
        stage.send(stage.video("red", clips["red"]))
        assert stage.contents(1)[0].video_id == "red"


def test_a_broker_that_dies_and_comes_back_is_waited_for(stage: Stage, model: Model, clips: dict[str, Path]) -> None:
    stage.publish(model)
    with stage.process() as feed:
        feed.wait_ready()
        stage.send(stage.video("red", clips["red"]))
        stage.contents(1)
        stage.broker.kill()
        stage.broker.start()
        stage.send(stage.video("blue", clips["blue"]))
        assert [one.video_id for one in stage.contents(2)] == ["red", "blue"]
        until(lambda: noted(stage) == {0: 2})
        assert feed.popen.poll() is None


def test_offsets_of_another_broker_are_told_and_the_library_is_sent_again(
    stage: Stage, model: Model, clips: dict[str, Path]
) -> None:
    digest = stage.publish(model)
    stage.send(stage.video("red", clips["red"]))
    with stage.worker():
        until(lambda: ProgressNote(stage.store, "latest").read() == Progress({0: 1}, digest))
    ProgressNote(stage.store, "latest").write(Progress({0: 999}, digest))
    with stage.worker() as metrics:
        until(lambda: metrics.status.renewed == 1)
        until(lambda: ProgressNote(stage.store, "latest").read() == Progress({0: 1}, digest))
    assert {one.video_id for one in stage.contents(3)} == {"red"}


def test_unset_settings_and_a_taken_port_are_one_line(stage: Stage) -> None:
    with stage.process("--port", str(httpx.URL(stage.web.url("/")).port)) as feed:
        assert feed.popen.wait(60) == 1
    assert feed.log.read_text().splitlines()[-1].startswith("error: cannot listen on 127.0.0.1:")


def test_a_page_of_ten_videos_comes_through_in_one_go(stage: Stage, model: Model, clips: dict[str, Path]) -> None:
    """More messages than are worked on at once, good and bad ones mixed."""
    stage.publish(model)
    good = [stage.video(name, path) for name, path in clips.items()]
    bad = [Video(video_id=f"bad{n}", uri=stage.web.url(f"/gone{n}.mp4"), duration_s=1.0) for n in range(len(good))]
    stage.send(*(message for pair in zip(good, bad, strict=True) for message in pair))
    with stage.worker() as metrics:
        assert {one.video_id for one in stage.contents(len(good))} == set(clips)
        assert len(stage.dead(len(bad))) == len(bad)
        until(lambda: metrics.status.offsets == {0: 2 * len(good)})
