"""`rapt picture` on a small trained model with a real clip in a real object store."""

from __future__ import annotations

import json
import shutil
from base64 import b64encode
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from components.runtime import tree_digest
from interest.bundle import Bundle, open_bundle, seal
from interest.catalog import Catalog
from interest.simulator.world import video_id
from rapt import cli
from tests.clips import real_clip
from tests.interest.worlds import small_world
from tests.monitoring.experiments.test_reconciler import SPEC, Stage, emptied
from tests.observed import observe
from tests.rapt.endpoint import serving
from wire.models import publish_bundle
from wire.objects import ObjectStore

VIDEO, SILENT = video_id(5), video_id(6)
BUCKET = "pictures"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle, object_store_env: dict[str, str]) -> Bundle:
    """The model in a store of its own, with the log of its simulated world, a real clip, and what viewers did."""
    store = emptied(ObjectStore.from_env({**object_store_env, "RAPT_S3_BUCKET": BUCKET}))
    folder = tmp_path_factory.mktemp("published")
    store.put_file("videos/bikes", real_clip("bikes"))
    latents, plain, _, samples = small_world()
    videos = [replace(one, uri=f"s3://{BUCKET}/videos/bikes") if one.video_id == VIDEO else one for one in plain]
    catalog = Catalog(tuple(videos))
    samples.write(folder / "dataset")
    catalog.write(folder / "dataset")
    latents.write(folder / "dataset")
    shutil.copytree(bundle.folder, folder / "bundle")
    about = {name: value for name, value in bundle.manifest.items() if name not in {"format", "files"}}
    digest = seal(folder / "bundle", {**about, "data": {"dataset": tree_digest(folder / "dataset")}})
    publish_bundle(store, folder / "bundle", digest, folder / "dataset", published_at_ms=1)
    made = open_bundle(folder / "bundle", digest)
    observe(store, 1, made, catalog, latents, seed=4)
    return made


@pytest.fixture
def runner(object_store_env: dict[str, str], tmp_path: Path) -> CliRunner:
    return CliRunner(env={**object_store_env, "RAPT_S3_BUCKET": BUCKET, "RAPT_HOME": str(tmp_path / "home")})


def drawn(runner: CliRunner, file: Path, *arguments: str) -> dict[str, Any]:
    """What the command says of the picture, which is there."""
    kind, *more = arguments
    done = runner.invoke(cli.app, ["picture", kind, str(file), *more, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    assert Path(found["picture"]) == file
    assert file.stat().st_size > 5000
    return found


@pytest.mark.parametrize("of", ["videos", "viewers"])
@pytest.mark.parametrize("by", ["topic", "engagement"])
def test_maps_of_videos_and_viewers(runner: CliRunner, published: Bundle, tmp_path: Path, of: str, by: str) -> None:
    found = drawn(runner, tmp_path / "map.svg", "tsne", "--of", of, "--by", by, "--model", published.digest[:8])
    assert (found["model"], found["points"]) == (published.digest, {"videos": 60, "viewers": 80}[of])


def test_layers_of_a_real_clip(runner: CliRunner, published: Bundle, tmp_path: Path) -> None:
    found = drawn(runner, tmp_path / "new" / "layers.png", "layers", "--video", VIDEO)
    assert found["layers"] == {
        "blocks.0.0": [2, 16, 4, 8, 8], "blocks.1.0": [2, 32, 4, 4, 4], "blocks.2.0": [2, 64, 2, 2, 2],
        "blocks.3.0": [2, 96, 1, 1, 1],
    }  # fmt: skip
    fewer = drawn(runner, tmp_path / "layers.png", "layers", "--video", VIDEO, "--most", "2", "--window", "1")
    assert list(fewer["layers"]) == ["blocks.0.0", "blocks.3.0"]


@pytest.mark.parametrize("user", ["u00003", "nobody"])
def test_heat_over_all_frames_for_a_viewer_with_a_history_or_without(
    runner: CliRunner, published: Bundle, tmp_path: Path, user: str
) -> None:
    found = drawn(runner, tmp_path / "heat.png", "gradcam", "--user", user, "--video", VIDEO)
    assert found["frames"] == [[0, 1, 2, 3], [0, 1, 2, 3]]


def test_heat_from_an_endpoint(runner: CliRunner, tmp_path: Path) -> None:
    _, png = cv2.imencode(".png", np.full((16, 16, 3), (10, 20, 200), np.uint8))
    text = b64encode(png.tobytes()).decode()
    with serving() as endpoint:
        endpoint.pictures = [{"window": 0, "frame": 3, "plain": text, "heat": text}]
        arguments = ("gradcam", "--user", "u1", "--video", "v", "--endpoint", endpoint.url)
        assert drawn(runner, tmp_path / "heat.png", *arguments)["frames"] == [[3]]
        assert endpoint.asked[0][1]["pictures"] is True
        endpoint.pictures = []
        refused = runner.invoke(cli.app, ["picture", arguments[0], str(tmp_path / "x.png"), *arguments[1:]])
        assert "--video 'v' cannot be shown: not asked for" in str(refused.exception)


def test_calibration_on_what_viewers_did_and_on_the_log(runner: CliRunner, published: Bundle, tmp_path: Path) -> None:
    live = drawn(runner, tmp_path / "live.svg", "calibration")
    assert sum(one["impressions"] for one in live["bins"]) == 3500
    log = drawn(runner, tmp_path / "log.svg", "calibration", "--on", "test")
    assert log["bins"] != live["bins"]
    for bins in (live["bins"], log["bins"]):
        assert all(one["actual"]["lower"] <= one["actual"]["value"] <= one["actual"]["upper"] for one in bins)


def test_a_running_experiment(runner: CliRunner, object_store_env: dict[str, str], tmp_path: Path) -> None:
    stage = Stage(emptied(ObjectStore.from_env({**object_store_env, "RAPT_S3_BUCKET": "pictured"})))
    stage.apply("x", SPEC)
    for _ in range(8):
        stage.second()
    runner.env["RAPT_S3_BUCKET"] = "pictured"
    found = drawn(runner, tmp_path / "x.svg", "experiment", "x")
    assert (found["phase"], found["decisions"][0]["what"]) == ("Running", "share 25%")
    assert found["moments"][-1]["lift"] is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tsne", "x.gif"], "'x.gif' ends with '.gif'; a picture ends with .png or .svg"),
        (["tsne", "x.png", "--model", "zzz"], "no published model begin with 'zzz'"),
        (["layers", "x.png", "--video", "nothing"], "--video 'nothing' cannot be shown: the video is in no catalogue"),
        (["layers", "x.png", "--video", SILENT], f"--video '{SILENT}' cannot be shown: the video has no file"),
        (["layers", "x.png", "--video", VIDEO, "--window", "2"], f"--window 2 is not there: '{VIDEO}' has 2"),
        (["gradcam", "x.png", "--user", "u", "--video", "v", "--live", "--model", "ab"], "--model 'ab' goes without"),
        (["experiment", "x.png", "nothing"], "experiment 'nothing' has not begun"),
    ],
)
def test_what_cannot_be_drawn_is_told_by_name(
    runner: CliRunner, published: Bundle, arguments: list[str], said: str
) -> None:
    done = runner.invoke(cli.app, ["picture", *arguments])
    assert said in cli.one_line(done.exception)  # type: ignore[arg-type]
    assert not Path("x.png").exists()


def test_a_model_that_nobody_was_served_by_has_no_live_calibration(
    runner: CliRunner, published: Bundle, object_store_env: dict[str, str], tmp_path: Path
) -> None:
    store = emptied(ObjectStore.from_env({**object_store_env, "RAPT_S3_BUCKET": "unseen"}))
    samples = small_world()[3]
    samples.write(tmp_path / "dataset")
    publish_bundle(store, published.folder, published.digest, tmp_path / "dataset", published_at_ms=1)
    runner.env["RAPT_S3_BUCKET"] = "unseen"
    done = runner.invoke(cli.app, ["picture", "calibration", str(tmp_path / "x.png")])
    assert "nobody was served by it, or labels are not joined yet" in cli.one_line(done.exception)  # type: ignore[arg-type]
