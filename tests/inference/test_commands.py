"""`rapt predict --live` and `rapt explain --pictures` at a running endpoint."""

import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from inference.catalogue_feed.library import Library
from interest.records import Video
from rapt import cli
from rapt.errors import InvalidOption
from tests.clips import Clip, make
from tests.inference.endpoint import Endpoint, watched
from tests.waiting import until

KNOWN = "sim-00001"


@pytest.fixture
def runner(endpoint: Endpoint) -> CliRunner:
    port = endpoint.settings.serving_port
    return CliRunner(env={"RAPT_HOME": str(endpoint.settings.home), "RAPT_SERVING_PORT": str(port)})


def run(runner: CliRunner, *arguments: str) -> str:
    done = runner.invoke(cli.app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_live_prediction_knows_what_the_viewer_just_did(endpoint: Endpoint, runner: CliRunner) -> None:
    asked = ("predict", "--live", "--user", "at-the-command", "--videos", f"{KNOWN}, sim-00002,never seen")
    before = json.loads(run(runner, *asked, "--json"))
    assert before["events"] == 0
    assert before["unknown_videos"] == ["never seen"]
    endpoint.send([watched("at-the-command", KNOWN, 1, int(time.time() * 1000) - 1000)])
    until(lambda: json.loads(run(runner, *asked, "--json"))["events"] == 1, "the event")
    after = json.loads(run(runner, *asked, "--json"))
    assert [one["video_id"] for one in after["videos"]] == [KNOWN, "sim-00002", "never seen"]
    assert after["videos"] != before["videos"]
    assert after["model_digest"] == endpoint.bundle.digest


def test_a_live_prediction_is_shown_with_the_likeliest_first(endpoint: Endpoint, runner: CliRunner) -> None:
    done = runner.invoke(
        cli.app, ["predict", "--live", "--user", "looker", "--videos", "sim-00001,sim-00002,sim-00003"]
    )
    head, *lines = done.stdout.splitlines()
    assert head.split() == ["VIDEO", "PROBABILITY"]
    chances = [float(line.split()[1].rstrip("%")) for line in lines]
    assert len(chances) == 3
    assert chances == sorted(chances, reverse=True)
    assert "viewer looker, 0 earlier events, state" in done.stderr
    assert f"model {endpoint.bundle.digest[:12]}" in done.stderr


def test_a_live_prediction_at_a_moment_has_only_what_came_before(endpoint: Endpoint, runner: CliRunner) -> None:
    now_ms = int(time.time() * 1000)
    endpoint.send([watched("traveller", f"sim-{n:05d}", n, now_ms - 60_000 * (5 - n)) for n in range(5)])
    with endpoint.client as client:
        until(lambda: client.predict("traveller", [KNOWN]).events == 5, "the events")
    asked = ("predict", "--live", "--user", "traveller", "--videos", KNOWN, "--json")
    assert json.loads(run(runner, *asked, "--now", str(now_ms - 60_000 * 3)))["events"] == 2


def test_a_model_cannot_be_chosen_at_an_endpoint(runner: CliRunner) -> None:
    with pytest.raises(InvalidOption, match="an endpoint has its own model"):
        run(runner, "predict", "--live", "--user", "u", "--videos", "v", "--model", "ab")


def test_an_explanation_brings_the_frames_and_their_heat(endpoint: Endpoint, runner: CliRunner, tmp_path: Path) -> None:
    """A blue clip with a white square that moves, in the store as the catalogue feed leaves it."""
    clip = make(tmp_path / "clip.mp4", Clip(picture=_square))
    endpoint.store.put_file("elsewhere/clip.mp4", clip)
    record = Video(video_id=KNOWN, uri=endpoint.store.uri("elsewhere/clip.mp4"), caption="a square", duration_s=2.0)
    Library(endpoint.store).put(record)
    folder = tmp_path / "pictures"
    asked = ("explain", "--user", "why", "--videos", f"{KNOWN},sim-00002,never seen", "--pictures", str(folder))
    made = json.loads(run(runner, *asked, "--json"))
    known, without_file, unknown = made["explained"]["videos"]
    assert known["pictures_missing"] == ""
    assert without_file["pictures_missing"] == "the video is in no catalogue"
    assert unknown["pictures_missing"] == "the model does not know the video"
    windows = len(known["pictures"])
    assert windows >= 1
    assert len(made["pictures"]) == 2 * windows
    assert sorted(folder.iterdir()) == sorted(map(Path, made["pictures"]))
    frame, heat = (cv2.imread(str(folder / f"1-window0-{name}.png")) for name in ("frame", "heat"))
    assert frame.shape == heat.shape == (16, 16, 3)
    # Compression moves colours a little: most of it is blue (BGR), and something is white.
    assert np.median(frame.reshape(-1, 3), axis=0) == pytest.approx([200, 30, 30], abs=20)
    assert frame.min(axis=2).max() > 200
    assert "no pictures: the video is in no catalogue" in runner.invoke(cli.app, asked).stderr


def _square(time_s: float) -> np.ndarray:
    picture = np.full((96, 96, 3), (30, 30, 200), np.uint8)
    left = 8 + int(20 * time_s)
    picture[30:60, left : left + 30] = 255
    return picture
