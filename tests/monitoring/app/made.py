"""Reports and runs as other parts of Rapt leave them, for the dashboard to show."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np

from interest.decay import Decay
from interest.drift.verdict import verdict
from interest.quality import calibration_curve, quality
from wire import reports
from wire.objects import ObjectStore
from wire.reports import MODEL, Report, Span


def report(store: ObjectStore, made_ms: int, seed: int, level: str = "t1", moved: float = 0.0) -> Report:
    """A model's report of made-up viewers, kept; `moved` is how far scores moved."""
    rng = np.random.default_rng(seed)
    viewer, chance = rng.integers(0, 200, 4000), rng.beta(3, 4, 4000)
    engaged = rng.random(4000) < chance
    before = {"score": rng.beta(3, 4, 2000), "user": rng.integers(0, 200, 2000)}
    now = {"score": rng.beta(3, 4, 2000) + moved, "user": rng.integers(0, 200, 2000)}
    topics = np.where(rng.random(4000) < 0.5, level, "t2").tolist()
    made = Report(
        kind=MODEL, name=reports.new_name(made_ms), made_ms=made_ms, model="ab" * 32,
        reference=Span(name="the first it served", rows=2000, from_ms=made_ms - 7200_000, to_ms=made_ms - 3600_000),
        current=Span(name="the last", rows=2000, from_ms=made_ms - 3600_000, to_ms=made_ms),
        verdict=verdict(before, now, groups="user"), quality=quality(chance, engaged, viewer, {"topic": topics}),
        calibration=calibration_curve(chance, engaged, viewer),
        decay=Decay(impressions=4000, viewers=200), promised={"ne": 0.9, "auc": 0.7, "predicted_over_actual": 1.0},
    )  # fmt: skip
    return reports.write(store, made, {"evidently.html": b"<html><title>Evidently</title></html>"})


def several(store: ObjectStore, level: str = "t1") -> list[Report]:
    """Three reports, the newest last, in which scores moved in the end."""
    now_ms = time.time_ns() // 1_000_000
    return [report(store, now_ms - 3_600_000 * (2 - n), n, level, 0.3 * (n == 2)) for n in range(3)]


def run(folder: Path, run_id: str, reason: str = "") -> None:
    """A run's record as `rapt pipeline run` leaves it."""
    steps = [
        {"name": "download", "state": "cached", "cached": True, "seconds": 0.4, "reason": "", "result": {},
         "artifacts": {"catalog": f"{folder}/{run_id}/catalog"}, "log": ""},
        {"name": "train", "state": "failed" if reason else "succeeded", "cached": False, "seconds": 83.0,
         "reason": reason, "result": {}, "artifacts": {}, "log": ""},
    ]  # fmt: skip
    made = {
        "run_id": run_id, "pipeline": "training", "arguments": {}, "folder": str(folder / run_id),
        "started_at": "2026-11-26T01:02:03Z", "status": "failed" if reason else "succeeded", "seconds": 84.0,
        "steps": steps, "model": "cd" * 32, "published": not reason, "held_for": "", "metrics": None,
    }  # fmt: skip
    (folder / run_id).mkdir(parents=True)
    (folder / run_id / "run.json").write_text(json.dumps(made))
