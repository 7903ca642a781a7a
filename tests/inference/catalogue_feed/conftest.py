"""A broker and a bucket for each test; clips and two models for all of them."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from rapt.service import stop
from tests.brokers import start_embedded
from tests.inference.catalogue_feed.material import LARGER, SMALL, Model, make_clips, train
from tests.inference.catalogue_feed.stage import Stage
from tests.wire.web import Web, serving
from wire.objects import ObjectStore


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file by name."""
    return make_clips(tmp_path_factory.mktemp("clips") / "clips")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, clips: dict[str, Path]) -> Model:
    """A model trained on the clips."""
    return train(clips, tmp_path_factory.mktemp("model"), SMALL, seed=1)


@pytest.fixture(scope="session")
def next_model(tmp_path_factory: pytest.TempPathFactory, clips: dict[str, Path]) -> Model:
    """Another one, of larger pictures."""
    return train(clips, tmp_path_factory.mktemp("next_model"), LARGER, seed=2)


@pytest.fixture
def web() -> Iterator[Web]:
    """A server on loopback that the feed may download from."""
    with serving() as running:
        yield running


@pytest.fixture
def stage(object_store_env: dict[str, str], tmp_path: Path, web: Web) -> Iterator[Stage]:
    """Everything around a feed: an own bucket, an own broker on it, the web."""
    env = object_store_env | {"RAPT_S3_BUCKET": f"feed-{secrets.token_hex(6)}"}
    ObjectStore.from_env(env).put_bytes("made", b"")
    broker = start_embedded(tmp_path / "broker", env)
    try:
        yield Stage(broker, tmp_path, web, env | {"RAPT_KAFKA_BOOTSTRAP": broker.service.address})
    finally:
        stop(broker.service.name, broker.run_folder, grace_s=0.1)
