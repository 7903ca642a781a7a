"""The retraining pipeline for real: a trained model, a world that turns, observations of it, what becomes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from interest.bundle import Bundle
from interest.catalog import Catalog
from interest.simulator.world import VideoLatents
from pipelines.known import PIPELINES
from pipelines.local import Outcome, run
from tests.observed import observe
from tests.pipelines.small import ungated
from wire import models, retrainings
from wire.objects import ObjectStore
from wire.proposals import proposed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SMALL = {
    "world_videos": 60, "viewers": 200, "events_per_viewer": 40, "content_epochs": 2, "epochs": 3,
    "threads": 1, "bootstrap_resamples": 10,
}  # fmt: skip
QUICK = {"threads": 1, "bootstrap_resamples": 100, "cool_down_s": 0.0}


class World:
    """A trained model in a store of its own, and viewers whom it serves."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment, self.folder = environment, folder
        self.store = ObjectStore.from_env(environment)
        self.trained = run(ungated, SMALL, folder / "training", environment)
        self.digest = models.latest(self.store)
        self.bundle: Bundle = models.fetch_bundle(self.store, self.digest, folder / "cache")
        dataset = Path(self.trained.steps["build_dataset"].outputs["dataset"])
        self.catalog, self.latents = Catalog.read(dataset), VideoLatents.read(dataset)
        self.seq = 0

    def observe(self, seed: int, **constants: float) -> None:
        """What viewers of a world of these constants did."""
        self.seq += 1
        observe(self.store, self.seq, self.bundle, self.catalog, self.latents, seed, **constants)

    def retrain(self, name: str, **arguments: Any) -> Outcome:
        return run(PIPELINES["retraining"], {**QUICK, **arguments}, self.folder / name, self.environment)


@pytest.fixture(scope="module")
def world(object_store_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("retraining")
    cache = str(folder / "cache")
    environment = {
        **object_store_env, "RAPT_S3_BUCKET": "retraining", "OMP_NUM_THREADS": "1", "RAPT_CACHE": cache,
    }  # fmt: skip
    return World(environment, folder)


def test_a_model_is_left_alone_until_it_decays_and_then_gets_a_better_candidate(world: World) -> None:
    nothing = world.retrain("nothing")
    assert set(nothing.steps) == {"collect_observations"}
    assert nothing.steps["collect_observations"].result["verdict"] == "rest"
    assert retrainings.last(world.store) is None

    world.observe(1, bq=-1.0)
    waits = world.retrain("waits", least=10_000)
    assert "waiting for impressions" in waits.steps["collect_observations"].result["reasons"]

    experiment = {"share": [0.5], "stepAfter": "1m", "guardrails": []}
    done = world.retrain("done", least=3000, experiment=json.dumps(experiment))
    collected, compared = (done.steps[name].result for name in ("collect_observations", "compare"))
    assert collected["reasons"].startswith("decay: ") and collected["metrics"]["impressions"] > 3000
    assert compared["verdict"] == "better", compared
    assert compared["metrics"]["gain_low"] > 0
    (asked,) = proposed(world.store)
    assert asked.name == done.steps["propose"].result["experiment"]
    assert (asked.spec.share, asked.spec.step_after, asked.spec.guardrails) == ((0.5,), "1m", ())
    new = models.fetch_bundle(world.store, asked.spec.candidate, world.folder / "fetched")
    assert (
        new.manifest["base"] == world.digest
        and new.manifest["feature_settings"] == world.bundle.manifest["feature_settings"]
    )
    assert models.latest(world.store) == world.digest, "a candidate serves nobody before it has earned it"
    found = retrainings.last(world.store)
    assert found is not None and found.model == world.digest

    cooling = world.retrain("cooling", least=3000, cool_down_s=3600.0)
    assert "cooling down" in cooling.steps["collect_observations"].result["reasons"]


def test_a_model_that_is_no_better_goes_nowhere(world: World) -> None:
    """The world is as it was, and what was learned is ruined by far too high a rate."""
    before = [one.name for one in proposed(world.store)]
    for key in list(world.store.list("observations/")):
        world.store.delete(key)
    world.observe(2)
    done = world.retrain("no-better", trigger="now", rate=5.0, epochs=1)
    assert done.steps["collect_observations"].result["reasons"] == "asked for"
    assert done.steps["compare"].result["verdict"] == "no better", done.steps["compare"].result
    assert "propose" not in done.steps
    assert [one.name for one in proposed(world.store)] == before
