"""A trained model in a store of its own, its catalogue with topics, and viewers whom it served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from interest.bundle import Bundle
from interest.catalog import Catalog
from interest.simulator.world import VideoLatents
from tests.interest.worlds import small_world
from tests.observed import observe
from wire import models
from wire.objects import ObjectStore

TOPICS = ("cats", "<script>alert(1)</script>", "cooking")


class Served:
    """A store with a model that serves, and what viewers did."""

    def __init__(self, environment: dict[str, str], bundle: Bundle, folder: Path) -> None:
        self.environment, self.bundle = environment, bundle
        self.store = ObjectStore.from_env(environment)
        self.latents: VideoLatents
        self.latents, catalog, _, _ = small_world()
        self.catalog = Catalog(
            tuple(replace(one, topic=TOPICS[row % 3], caption="a cat cooks") for row, one in enumerate(catalog))
        )
        self.catalog.write(folder)
        models.publish_bundle(self.store, bundle.folder, bundle.digest, folder, published_at_ms=1)
        self.seq = 0

    def observe(self, seed: int, **constants: float) -> None:
        """700 viewers of a world of these constants."""
        self.seq += 1
        observe(self.store, self.seq, self.bundle, self.catalog, self.latents, seed, **constants)


@pytest.fixture
def reports_env(object_store_env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An empty bucket, and a cache of one's own."""
    environment = {**object_store_env, "RAPT_S3_BUCKET": f"look-{tmp_path.name.replace('_', '-')}"[:60].lower(),
                   "RAPT_CACHE": str(tmp_path / "cache")}  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


@pytest.fixture
def served(reports_env: dict[str, str], bundle: Bundle, tmp_path: Path) -> Iterator[Served]:
    yield Served(reports_env, bundle, tmp_path / "dataset")
