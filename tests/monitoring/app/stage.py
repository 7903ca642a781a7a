"""A whole laptop stack around the dashboard: real clips, a small model trained on them, live viewers, hostile texts."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec

from interest.bundle import Bundle, open_bundle, seal
from interest.catalog import Catalog
from interest.datasets.samples import build
from interest.features.audio import AudioSettings
from interest.features.content import FeatureSettings
from interest.features.frames import FrameSettings
from interest.features.probe import duration_s
from interest.features.text import TextSettings
from interest.records import Content, Video
from interest.simulator.audience import Audience
from interest.simulator.log import events_table
from interest.simulator.viewers import simulate
from interest.simulator.world import VideoLatents, latents_of, sample_videos
from interest.training.bundle import train_bundle
from interest.training.settings import TrainSettings
from rapt import service, stack
from rapt.settings import Settings
from rapt.traffic import Plan, Traffic
from tests.inference.catalogue_feed.material import CAPTIONS, features_of
from tests.inference.endpoint import DEADLINE_S, Endpoint
from tests.ports import free_ports
from tests.watching import watching
from wire import models
from wire.kafka import CONTENT, producer

HOSTILE = (
    '<img src=x onerror="window.hacked=1"> **bold** [link](javascript:window.hacked=1) $x^2$ :red[red] `code` '
    "<script>window.hacked=1</script> https://evil.example.org"
)
HOSTILE_ID = 'x<b onmouseover="window.hacked=1">**id**</b>[a](b)'
SETTINGS = FeatureSettings(
    FrameSettings(windows=2, frames=4, size=32), AudioSettings(windows=2, coefficients=12), TextSettings()
)
TOPICS = ("animals", "streets", "colours", "<i>odd</i> *topic*")
VIEWERS, RATE, PAGE = 40, 5.0, 5


@dataclass(frozen=True)
class Model:
    """A sealed model, what it learned from, and the clips behind it by video."""

    bundle: Bundle
    dataset: Path
    catalog: Catalog
    latents: VideoLatents
    clips: dict[str, Path]


def train(clips: dict[str, Path], folder: Path, seed: int = 1) -> Model:
    """A model of the clips, one of which has a hostile id and another a hostile caption."""
    named = {HOSTILE_ID if name == "plain01" else name: path for name, path in clips.items()}
    catalog = catalog_of(named)
    latents = latents_of(catalog, sample_videos(1, 0))
    samples = build(catalog, events_table(simulate(latents, 60, 20, 0), catalog))
    samples.write(folder / "dataset")
    catalog.write(folder / "dataset")
    about = train_bundle(
        samples, features_of(catalog, named, SETTINGS),
        TrainSettings(seed=seed, threads=1, content_epochs=1, epochs=2, content_batch=4, batch=8), folder / "bundle",
    )  # fmt: skip
    about["feature_settings"] = {
        name: json.loads(json.dumps(dataclasses.asdict(getattr(SETTINGS, name)))) for name in ("video", "audio", "text")
    }
    digest = seal(folder / "bundle", about | {"data": {"dataset": f"{seed:064x}"}})
    return Model(open_bundle(folder / "bundle", digest), folder / "dataset", catalog, latents, named)


def catalog_of(named: dict[str, Path]) -> Catalog:
    """The clips as they will lie in the store."""
    captions = {**CAPTIONS, HOSTILE_ID: "A plain colour", "plain02": HOSTILE}
    return Catalog(
        tuple(
            Video(
                video_id=name, uri=f"s3://rapt/{key(path)}", caption=captions[name], duration_s=duration_s(path),
                published_at_ms=1, topic=TOPICS[number % len(TOPICS)],
            )
            for number, (name, path) in enumerate(named.items())
        )
    )  # fmt: skip


def key(path: Path) -> str:
    """Where a clip lies in the store."""
    return f"videos/{sha256(path.read_bytes()).hexdigest()}"


@contextmanager
def running(folder: Path, model: Model) -> Iterator[Endpoint]:
    """Object store, broker, serving, joiner and experiments, with the model published with its data and clips."""
    settings = Settings(
        home=folder, object_store_port=free_ports(), broker_port=free_ports(), serving_port=free_ports(),
        state_memory_mib=16, state_checkpoint_s=2.0, start_deadline_s=DEADLINE_S, label_window_s=1.0,
        label_slack_s=2.0,
    )  # fmt: skip
    wanted = {one.name: one for one in stack.services(settings) if one.name != "catalogue-feed"}
    endpoint = Endpoint(settings, wanted, model.bundle)
    kept = dict(os.environ)
    try:
        endpoint.start("object-store")
        for path in model.clips.values():
            endpoint.store.put_file(key(path), path)
        publish(endpoint, model)
        endpoint.start("broker")
        stack.make_topics(settings)
        for name in ("feeder", "predictor", "explainer", "labels", "experiments"):
            service.launch(wanted[name], settings.run_folder)
        for name in ("feeder", "predictor", "explainer", "transformer", "labels", "experiments"):
            endpoint.start(name)
        yield endpoint
    finally:
        os.environ.clear()
        os.environ.update(kept)
        stack.down(settings)


def publish(endpoint: Endpoint, model: Model, *, serve: bool = True) -> None:
    """Make a model known, with its data."""
    models.publish_bundle(
        endpoint.store, model.bundle.folder, model.bundle.digest, model.dataset,
        published_at_ms=time.time_ns() // 1_000_000, serve=serve,
    )  # fmt: skip


@contextmanager
def viewers(endpoint: Endpoint, model: Model, count: int = VIEWERS, rate: float = RATE) -> Iterator[Traffic]:
    """Inside, simulated viewers ask and act all the while."""
    audience = Audience(model.catalog, model.latents, count, seed=7)
    plan = Plan(endpoint.url, rate, 0, candidates=len(model.catalog), page=PAGE, timeout_s=30)
    with watching(audience, endpoint.kafka, plan) as came:
        yield came


def announce(endpoint: Endpoint, model: Model, video_id: str, like: str) -> None:
    """A new video's content on the stream, as the catalogue feed sends it: like that of a video that is known."""
    table = model.bundle.catalogue()
    row = table.video_ids.index(like)
    made = Content(
        video_id=video_id, model_digest=model.bundle.digest, duration_s=3.0,
        content=(table.content[row] * 1.01).astype("<f4").tobytes(),
    )  # fmt: skip
    sending = producer(endpoint.kafka)
    try:
        sending.send(CONTENT, video_id.encode(), msgspec.json.encode(made))
        sending.flush(DEADLINE_S)
    finally:
        sending.close()


def variables(endpoint: Endpoint) -> dict[str, str]:
    """The dashboard's environment."""
    chosen = endpoint.settings
    return {
        **chosen.environment(), **chosen.stream_environment(), "RAPT_ENDPOINT": endpoint.url,
        "RAPT_RUNS": str(chosen.home / "runs"), "RAPT_REPORTS": "",
    }  # fmt: skip


def retold(model: Model, folder: Path) -> Model:
    """The same model under another digest, to be tried beside it."""
    copy = shutil.copytree(model.bundle.folder, folder / "bundle")
    about = {name: value for name, value in model.bundle.manifest.items() if name not in ("files", "format")}
    return dataclasses.replace(model, bundle=open_bundle(copy, seal(copy, about | {"note": "told again"})))
