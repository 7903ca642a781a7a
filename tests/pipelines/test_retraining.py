"""The retraining pipeline for real: a trained model, a world that turns, observations of it, what becomes of them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interest.bundle import Bundle
from interest.catalog import Catalog
from interest.history import HISTORY, Feedback, moment, outcomes
from interest.scoring import Scorer
from interest.simulator.audience import Audience
from interest.simulator.world import VideoLatents
from pipelines.known import PIPELINES
from pipelines.local import Outcome, run
from tests.observed import commit
from tests.pipelines.small import ungated
from wire import models, retrainings
from wire.objects import ObjectStore
from wire.proposals import proposed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SMALL = {
    "world_videos": 60, "viewers": 200, "events_per_viewer": 40, "content_epochs": 2, "epochs": 3,
    "threads": 1, "bootstrap_resamples": 10,
}  # fmt: skip
VIEWERS, PAGE, CANDIDATES, RANDOMISED = 700, 5, 30, 0.2
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
        """Every viewer asks once, without a history, in a world of these constants."""
        audience = Audience(self.catalog, self.latents, VIEWERS, seed)
        audience.shift(**constants)
        rng = np.random.default_rng(seed)
        nothing = Feedback(*(np.full((1, HISTORY), fill) for fill in (-1, 0, 0, 1, 0)))
        scorer = Scorer(self.bundle, threads=1)
        state = scorer.encode_all(
            video=nothing.video, kind=nothing.kind, outcome=outcomes(nothing, np.zeros((1, HISTORY))),
            length=np.zeros((1, 1), np.int64),
        )  # fmt: skip
        now = moment(np.array([-1]), np.array([0]))[:, None]
        rows: list[dict[str, Any]] = []
        begin_ms = time.time_ns() // 1_000_000 - 60_000
        for viewer in range(VIEWERS):
            asked = rng.choice(len(self.catalog), CANDIDATES, replace=False)
            score = scorer.score(state, now, asked[None], np.ones((1, CANDIDATES), np.int64)).probability[0]
            drawn = bool(rng.random() < RANDOMISED)
            order = np.arange(CANDIDATES) if drawn else np.argsort(-score)
            at_ms, request = begin_ms + 50 * viewer, f"{seed}-{viewer}"
            shown = [self.catalog.videos[asked[place]].video_id for place in order[:PAGE]]
            reaction = audience.react(viewer, shown, at_ms, request_id=request, randomised=drawn)
            for number, place in enumerate(order[:PAGE]):
                done = reaction.events[2 * number + 1]
                rows.append(
                    {
                        "request_id": request, "user_id": f"{seed}-{viewer}", "arm": "stable", "propensity": 1.0,
                        "model_digest": self.digest, "ts_ms": at_ms, "logged_ms": at_ms, "candidates": CANDIDATES,
                        "video_id": shown[number], "score": float(score[place]), "scored_position": 1,
                        "rank": 1 + int((score > score[place]).sum()), "position": number + 1, "randomised": drawn,
                        "engaged": self.engaged(shown[number], done.kind, done.watch_ms), "watch_ms": done.watch_ms,
                        "feedback": [{"kind": done.kind.value, "ts_ms": done.ts_ms, "watch_ms": done.watch_ms,
                                      "position": number + 1}],
                    }
                )  # fmt: skip
        self.seq += 1
        commit(self.store, self.seq, rows, begin_ms + 60_000)

    def engaged(self, video_id: str, kind: Any, watch_ms: int) -> bool:
        from interest.records import engaged

        return engaged([(kind, watch_ms)], self.catalog[video_id].duration_s)

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
