"""What is learned from observations, beside what `tests/pipelines/test_retraining.py` runs whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from components.collect_observations.step import known, run
from interest.bundle import REQUIRED, seal
from interest.catalog import VIDEOS, write_jsonl
from interest.datasets import observed
from interest.datasets.events import read_events
from interest.errors import InvalidExperiment, InvalidSetting
from tests.interest.datasets.test_observed import row, table
from tests.rapt.published import world
from wire.models import publish_bundle
from wire.objects import ObjectStore


def test_videos_that_the_model_does_not_know_are_left_out_and_the_others_count_as_before() -> None:
    """Half of each page of two is unknown; what is left was as likely to be shown as it was."""
    rows = [
        row(n, f"v{rank}", rank=rank, position=place, randomised=n % 10 == 0)
        for n in range(100)
        for place, rank in enumerate((3, 5) if n % 10 == 0 else (1, 2), 1)
    ]
    shown = observed.impressions(table(*rows))
    usable, weights = known(shown, ["v2", "v5"])
    assert set(usable["video_id"].to_pylist()) == {"v2", "v5"} and len(usable) == 100
    assert weights["event_id"].to_pylist() == observed.impression_ids(usable).to_pylist()
    every = dict(zip(shown["video_id"].to_pylist(), observed.weights(shown), strict=True))
    assert weights["full_weight"].to_pylist() == pytest.approx([every[v] for v in usable["video_id"].to_pylist()])
    assert len(known(observed.impressions(table()), ["v1"])[0]) == 0


@pytest.mark.parametrize(
    "wrong", [{"trigger": "auot"}, {"days": 0.0}, {"days": float("inf")}, {"least": -1}, {"cool_down_s": -1.0}]
)
def test_a_parameter_that_makes_no_sense_is_named(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=next(iter(wrong))):
        run(tmp_path / "catalog", tmp_path / "events", tmp_path / "serving", **wrong)


@pytest.mark.parametrize("wrong", ["share: [0.5, 0.2]", "no: mapping: here", "shares: [0.5]"])
def test_an_experiment_that_cannot_be_run_is_told_before_anything_is_trained(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidExperiment):
        run(tmp_path / "catalog", tmp_path / "events", tmp_path / "serving", experiment=wrong)


@pytest.fixture
def nothing_seen(in_object_store_env: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """A store of its own with a model that serves, and no observations."""
    monkeypatch.setenv("RAPT_S3_BUCKET", "collect-observations")
    monkeypatch.setenv("RAPT_CACHE", str(tmp_path / "cache"))
    store, bundle, dataset = ObjectStore.from_env(), tmp_path / "bundle", tmp_path / "dataset"
    for folder in (bundle, dataset):
        folder.mkdir()
    for name in REQUIRED:
        (bundle / name).write_bytes(name.encode())
    save_file({"fusion.look": np.zeros(2, np.float32)}, bundle / "weights.safetensors")
    write_jsonl(dataset / VIDEOS, world()[0])
    publish_bundle(store, bundle, seal(bundle, {"data": {"dataset": "d" * 64}}), dataset, published_at_ms=1)
    return store


@pytest.mark.usefixtures("nothing_seen")
def test_started_again_by_the_same_run_it_goes_on_with_the_retraining_that_it_began(tmp_path: Path) -> None:
    def collected(name: str, **of: str) -> tuple[str, str]:
        told = run(*(tmp_path / name / output for output in ("catalog", "events", "serving")), **of)
        return told["verdict"], told["reasons"]

    assert collected("before", run_id="r1")[0] == "rest"
    assert collected("asked", run_id="r1", trigger="now") == ("retrain", "asked for")
    assert collected("again", run_id="r1") == ("retrain", "asked for")
    assert collected("other", run_id="r2")[0] == collected("nameless")[0] == "rest"
    unnamed = "{{$.pipeline_job_uuid}}"
    assert collected("placeholder", run_id=unnamed, trigger="now")[0] == "retrain"
    assert collected("another", run_id=unnamed)[0] == "rest"
    assert len(read_events(tmp_path / "asked" / "events" / "events.parquet")) == 0
