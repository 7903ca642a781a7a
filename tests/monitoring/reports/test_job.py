"""The job, on a trained model and simulated viewers: what it finds, what it keeps, what Evidently makes of it."""

from __future__ import annotations

import json
import time
from pathlib import Path

from msgspec.structs import replace

from monitoring.reports import evidently
from monitoring.reports.job import make, words
from monitoring.reports.look import MOST
from tests.monitoring.reports.conftest import Served
from tests.observed import commit
from wire import reports
from wire.objects import ObjectStore
from wire.observations import Reader
from wire.reports import EXPERIMENT, MODEL

DAY_MS = 86_400_000


def test_without_a_model_there_is_nothing_to_report(reports_env: dict[str, str]) -> None:
    assert make(ObjectStore.from_env(reports_env)) == []


def test_without_viewers_the_report_says_so(served: Served) -> None:
    (made,) = make(served.store)
    assert (made.verdict, made.files, made.current.rows) == (None, {}, 0)
    assert words(made) == "too few impressions to compare"
    assert made.quality[0].impressions == 0


def test_a_world_that_stays_has_not_drifted_and_one_that_turns_has(served: Served, tmp_path: Path) -> None:
    served.observe(1)
    (calm,) = make(served.store)
    assert calm.verdict is not None
    assert (calm.kind, calm.model, calm.drifted) == (MODEL, served.bundle.digest, False), calm.verdict.reasons
    whole = calm.quality[0]
    assert whole.viewers == 700 and whole.ne is not None and whole.auc is not None
    slices = {one.slice for one in calm.quality}
    assert slices == {"all", "topic", "position", "page", "day", "label age", "model", "arm"}
    assert sum(one.impressions for one in calm.quality if one.slice == "topic") == whole.impressions
    assert [one.slice for one in calm.quality if one.level == served.bundle.digest[:12]] == ["model"]
    assert len(calm.calibration) == 10 and calm.decay is not None

    served.observe(2, bq=-2.0)
    served.observe(3, bq=-2.0)
    turned = make(served.store)[-1]
    assert turned.drifted and turned.verdict is not None
    assert any("engaged" in one for one in turned.verdict.reasons), turned.verdict
    assert reports.newest(served.store)[0] == turned

    page, document, snapshot = (
        served.store.get_bytes(turned.files[name]) for name in (evidently.HTML, evidently.JSON, evidently.SNAPSHOT)
    )
    assert b"<script>alert(1)" not in page and b"plotly" in page.lower()
    names = {one["metric_name"] for one in json.loads(document)["metrics"]}
    assert any("column=engaged" in one for one in names) and any("video component 1" in one for one in names)
    assert any(one.startswith("RocAuc") for one in names)

    folder = tmp_path / "workspace"
    evidently.Reports(folder, "Rapt").add(turned.name, snapshot)
    again = evidently.Reports(folder, "Rapt")
    assert again.names == {turned.name}
    again.add(turned.name, snapshot)
    assert len(list(folder.rglob("*snapshots/*.json"))) == 1


def test_an_experiments_arms_are_compared(served: Served) -> None:
    served.observe(1)
    served.observe(2, bq=-2.0)
    rows = Reader(served.store).newest(most=MOST).to_pylist()
    for row in rows:
        row["experiment"], row["arm"] = "new-model", "stable" if row["user_id"].startswith("1-") else "candidate"
    commit(served.store, 1, rows, time.time_ns() // 1_000_000)
    model, arms = make(served.store)
    assert (model.kind, arms.kind, arms.subject) == (MODEL, EXPERIMENT, "new-model")
    assert arms.drifted and any("engaged" in one for one in arms.verdict.reasons)  # type: ignore[union-attr]
    assert {one.level for one in arms.quality} == {"new-model: stable", "new-model: candidate"}


def test_a_job_deletes_what_is_old(served: Served) -> None:
    served.observe(1)
    (made,) = make(served.store)
    old = replace(made, made_ms=made.made_ms - 9 * DAY_MS, name=reports.new_name(made.made_ms - 9 * DAY_MS))
    reports.write(served.store, old, {evidently.HTML: b"<p>"})
    (again,) = make(served.store, keep_days=7.0)
    assert reports.names(served.store) == sorted([made.name, again.name], reverse=True)
    assert list(served.store.list(old.folder)) == []
