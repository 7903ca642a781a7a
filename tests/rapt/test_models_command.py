"""`rapt models` and `rapt predict` on a small bundle, trained and published to a real object store."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from components.runtime import tree_digest
from interest.bundle import seal
from interest.catalog import Catalog
from interest.datasets.samples import Dataset, build
from interest.records import Video
from interest.simulator.log import events_table
from interest.simulator.viewers import simulate
from interest.simulator.world import sample_videos
from interest.training.bundle import train_bundle
from interest.training.features import FeatureArrays
from interest.training.settings import TrainSettings
from rapt import cli
from rapt.predictions import Predictor
from wire.models import publish_bundle
from wire.objects import ObjectStore

VIDEOS = 32


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, object_store: ObjectStore) -> tuple[str, Dataset]:
    """Digest of a model in the store, and the samples it learned from."""
    folder = tmp_path_factory.mktemp("model")
    latents = sample_videos(VIDEOS, 0)
    catalog = Catalog(
        tuple(
            Video(
                video_id=f"v{i}",
                uri="",
                caption="",
                duration_s=float(latents.length_s[i]),
                published_at_ms=int(latents.published_ms[i]),
            )
            for i in range(VIDEOS)
        )
    )
    log = simulate(latents, 40, 20, 0)
    samples = build(catalog, events_table(log, catalog))
    samples.write(folder / "dataset")
    rng = np.random.default_rng(0)
    features = FeatureArrays(
        rng.integers(0, 255, (VIDEOS, 1, 4, 32, 32, 3), np.uint8),
        rng.normal(size=(VIDEOS, 1, 20, 40)).astype(np.float32),
        rng.normal(size=(VIDEOS, 384)).astype(np.float32),
        np.ones((VIDEOS, 3), bool),
    )
    settings = TrainSettings(threads=1, content_epochs=1, epochs=1)
    about = train_bundle(samples, features, settings, folder / "bundle")
    data = {"dataset": tree_digest(folder / "dataset")}
    metrics = {"auc": {"value": 0.71234, "low": 0.7, "high": 0.73}, "ne": 0.9, "ece": 0.01}
    digest = seal(folder / "bundle", {**about, "data": data, "metrics": metrics})
    publish_bundle(object_store, folder / "bundle", digest, folder / "dataset", published_at_ms=int(time.time() * 1000))
    return digest, samples


@pytest.fixture
def runner(object_store_env: dict[str, str], tmp_path: Path) -> CliRunner:
    return CliRunner(env={**object_store_env, "RAPT_HOME": str(tmp_path)})


def predicted(runner: CliRunner, *arguments: str) -> dict[str, object]:
    done = runner.invoke(cli.app, ["predict", "--json", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_models_shows_each_with_its_figures(runner: CliRunner, published: tuple[str, Dataset]) -> None:
    digest, _ = published
    shown = runner.invoke(cli.app, ["models"], catch_exceptions=False)
    (line,) = [line for line in shown.stdout.splitlines() if line.startswith(digest[:12])]
    assert "0.7123  0.9000  0.0100" in line
    found = json.loads(runner.invoke(cli.app, ["models", "--json"], catch_exceptions=False).stdout)["models"]
    (model,) = [model for model in found if model["digest"] == digest]
    assert model["size_bytes"] > 100_000


def test_decay_tells_how_the_serving_model_does_or_that_nobody_knows(
    runner: CliRunner, published: tuple[str, Dataset], tmp_path: Path
) -> None:
    shown = runner.invoke(cli.app, ["decay"], catch_exceptions=False)
    assert (shown.exit_code, shown.stdout) == (0, "")
    assert shown.stderr == "retrain: no; 0 viewers of 100 who tell how the model does\n"
    found = json.loads(runner.invoke(cli.app, ["decay", "--json"], catch_exceptions=False).stdout)
    assert (found["model"], found["retrain"], found["facts"]["usable"]) == (published[0], False, 0)
    nothing = runner.invoke(cli.app, ["decay"], env={"RAPT_S3_BUCKET": "no-model"}, catch_exceptions=False)
    assert (nothing.exit_code, nothing.stderr) == (0, "retrain: no; no model is published\n")


def test_a_known_viewer_is_scored_as_the_samples_say(
    runner: CliRunner, published: tuple[str, Dataset], object_store: ObjectStore, tmp_path: Path
) -> None:
    """The moment of a target of the samples, through the command, equals the evaluation's own path."""
    from components.evaluate.step import predict

    digest, samples = published
    row = int(np.flatnonzero(samples.targets.visible > 5)[0])
    at = samples.targets
    answer = predicted(
        runner, "--user", samples.users[at.viewer[row]], "--videos", samples.videos[at.video[row]],
        "--position", str(at.position[row]), "--now", str(at.ts_ms[row]), "--model", digest[:10],
    )  # fmt: skip
    assert answer["events"] == at.visible[row]
    assert answer["notes"] == []
    (video,) = answer["videos"]  # type: ignore[misc]
    scorer = Predictor.load(object_store, tmp_path / "cache", digest).scorer
    assert video["probability"] == pytest.approx(predict(scorer, samples, np.array([row]))[0], abs=1e-6)


def test_contributions_add_up_to_the_logit_at_the_first_position(
    runner: CliRunner, published: tuple[str, Dataset]
) -> None:
    answer = predicted(runner, "--user", published[1].users[0], "--videos", "v1,v2", "--model", published[0])
    for video in answer["videos"]:  # type: ignore[attr-defined]
        assert set(video["contributions"]) == {"viewer", "length", "video", "audio", "text"}
        logit = sum(video["contributions"].values())
        assert video["probability"] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-5)


def test_strangers_get_the_learned_fallback_and_a_note(runner: CliRunner, published: tuple[str, Dataset]) -> None:
    answer = predicted(runner, "--user", "nobody", "--videos", "v1,nothing", "--model", published[0])
    assert not answer["known"]
    assert [video["known"] for video in answer["videos"]] == [True, False]  # type: ignore[attr-defined]
    assert all(0 < video["probability"] < 1 for video in answer["videos"])  # type: ignore[attr-defined]
    assert answer["notes"] == [
        "viewer 'nobody' has no earlier events: predicted as a new viewer",
        "not in the model's catalogue, predicted without content: nothing",
    ]


def test_the_table_puts_the_likeliest_first(runner: CliRunner, published: tuple[str, Dataset]) -> None:
    arguments = [
        "predict",
        "--user",
        published[1].users[1],
        "--videos",
        "v0, v1,v2 ",
        "--model",
        published[0],
    ]
    lines = runner.invoke(cli.app, arguments, catch_exceptions=False).stdout.splitlines()
    assert lines[0].split() == ["VIDEO", "PROBABILITY", "VIEWER", "LENGTH", "VIDEO", "AUDIO", "TEXT"]
    chances = [float(line.split()[1].rstrip("%")) for line in lines[1:]]
    assert len(chances) == 3
    assert chances == sorted(chances, reverse=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--videos", " , "], "names no video"),
        (["--videos", "v1", "--now", "soon"], "--now 'soon' is neither ISO 8601"),
        (["--videos", "v1", "--model", "zzz"], "no published model begin with 'zzz'"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    runner: CliRunner, published: tuple[str, Dataset], arguments: list[str], message: str
) -> None:
    done = runner.invoke(cli.app, ["predict", "--user", "u", *arguments])
    assert message in cli.one_line(done.exception)  # type: ignore[arg-type]
