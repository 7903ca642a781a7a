"""Is a retraining due? And what to learn from: observations as a log, the catalogue, the model that serves."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.propose.step import trial_of
from components.runtime import cache_home
from interest.bundle import Bundle
from interest.catalog import Catalog
from interest.datasets import observed
from interest.datasets.events import write_events
from interest.datasets.samples import WEIGHTS
from interest.decay import BIAS_MARGIN, LOSS_MARGIN, Decay, decay
from interest.drift.verdict import verdict
from interest.errors import InvalidSetting
from interest.retraining import COOL_DOWN_S, LEAST, OLDEST_S, Due, Facts, Policy, due
from wire import models, retrainings
from wire.models import Serving
from wire.objects import ObjectStore
from wire.observations import Reader
from wire.retrainings import Retraining

LOG = logging.getLogger(__name__)
AUTO, NOW = "auto", "now"
RETRAIN, REST = "retrain", "rest"
EVENTS = "events.parquet"
MOST = 2_000_000
"""Impressions that are looked at: the newest."""
DAYS_MOST = 3650
NOBODY = "0" * 64
DRIFT_COLUMNS = ("score", "engaged", "watch_ms", "skipped")
DRIFT_LEAST, DRIFT_MOST = 2000, 50_000
"""Impressions of either side."""
DRIFT_ALPHA, DRIFT_DISTANCE = 0.001, 0.15
"""One looks often, and what is small is no reason to train again."""


def run(
    catalog: Path,
    events: Path,
    serving: Path,
    *,
    trigger: str = AUTO,
    least: int = LEAST,
    cool_down_s: float = COOL_DOWN_S,
    oldest_s: float = OLDEST_S,
    bias_margin: float = BIAS_MARGIN,
    loss_margin: float = LOSS_MARGIN,
    days: float = 14.0,
    experiment: str = "",
    run_id: str = "",
) -> dict[str, Any]:
    """Write the three folders, empty ones when it is not due; returns "retrain" or "rest", and in words why.

    A retraining that was begun by the run `run_id` is due when the step is started again, whatever is seen then.

    `trigger` is "auto" (when `interest.retraining` says so) or "now". What is learned from is what all viewers did
    since a change, or in the last `days`. `experiment` is what `propose` will be given. Raises InvalidSetting,
    InvalidExperiment, ObjectNotFound when nothing is served.
    """
    if trigger not in (AUTO, NOW):
        raise InvalidSetting(f"trigger={trigger!r} is neither {AUTO!r} nor {NOW!r}")
    if not 0 < days <= DAYS_MOST:
        raise InvalidSetting(f"days={days} is not within (0, {DAYS_MOST}]")
    trial_of(NOBODY, experiment)  # now, not when a model has been trained for it
    policy = Policy(
        least=least, cool_down_s=cool_down_s, oldest_s=oldest_s, bias_margin=bias_margin, loss_margin=loss_margin
    )
    store, now_ms = ObjectStore.from_env(), time.time_ns() // 1_000_000
    served, last = models.serving(store), retrainings.last(store)
    bundle = models.fetch_bundle(store, served.digest, cache_home())
    shown = observed.impressions(Reader(store).newest(most=MOST, since_ms=now_ms - round(days * 86_400_000)))
    facts, usable = look(bundle, shown, policy, served, last, now_ms)
    decided = due(policy, facts)
    if run_id.startswith("{{"):
        run_id = ""  # a Kubeflow that puts nothing in the placeholder's place: all its runs would be the same one
    if last is not None and last.run == run_id != "":
        decided = Due(now=True, why=last.why)
    retrain = decided.now or trigger == NOW
    LOG.info("%s", decided.why)
    videos = Catalog.read(models.fetch_dataset(store, bundle.manifest["data"]["dataset"], cache_home()))
    usable, weights = known(usable, list(videos.index))
    why = decided.why if decided.now or not retrain else "asked for"
    if retrain:
        videos.write(catalog)
        shutil.copytree(bundle.folder, serving)
        write_events(events / EVENTS, observed.events(usable))
        pq.write_table(weights, events / WEIGHTS)
        retrainings.note(store, Retraining(at_ms=now_ms, model=served.digest, why=why, run=run_id))
    else:  # nobody reads them, and a cluster uploads all that lies in them
        for folder in (catalog, events, serving):
            folder.mkdir(parents=True)
    metrics = {
        "impressions": len(usable), "effective_impressions": round(observed.effective(weights["weight"].to_numpy())),
        "predicted_over_actual": facts.decay.predicted_over_actual, "ne": facts.decay.ne,
    }  # fmt: skip
    return {"verdict": RETRAIN if retrain else REST, "reasons": why, "model": served.digest, "metrics": metrics}


def look(
    bundle: Bundle, shown: pa.Table, policy: Policy, served: Serving, last: Retraining | None, now_ms: int
) -> tuple[Facts, pa.Table]:
    """What is known of the serving model, and the impressions that a retraining would learn from."""
    since_ms = served.promoted_at_ms
    mine = observed.served_by(shown, bundle.digest, since_ms)
    judged = mine.filter(pc.is_valid(mine["score"]))
    found = _decay(bundle, judged, policy)
    usable = shown
    if found.since is not None:
        usable = shown.filter(pc.greater_equal(shown["logged_ms"], judged["logged_ms"][found.since]))
    # What has moved before the last retraining has had its answer.
    fresh = judged if last is None else judged.filter(pc.greater_equal(judged["logged_ms"], last.at_ms))
    began_ms = since_ms or (pc.min(mine["logged_ms"]).as_py() if len(mine) else None)
    facts = Facts(
        decay=found,
        drift=_drift(fresh),
        usable=len(usable),
        served_s=None if began_ms is None else (now_ms - began_ms) / 1000,
        since_last_s=None if last is None else (now_ms - last.at_ms) / 1000,
    )
    return facts, usable


def known(usable: pa.Table, videos: Sequence[str]) -> tuple[pa.Table, pa.Table]:
    """The impressions of these videos, and how much each counts by the id of its event."""
    # Before any is left out: by the others of its page is known how likely a video was to be shown.
    weights = pa.table(
        {
            "event_id": observed.impression_ids(usable),
            "weight": observed.weights(usable, observed.FLATTENING),
            "full_weight": observed.weights(usable),
        }
    )
    of_these = pc.is_in(usable["video_id"], pa.array(videos))
    return usable.filter(of_these), weights.filter(of_these)


def _drift(judged: pa.Table) -> tuple[str, ...]:
    """What has moved between the first impressions and the last, in words."""
    rows = min(len(judged) // 2, DRIFT_MOST)
    if rows < DRIFT_LEAST:
        return ()
    table = judged.select([*DRIFT_COLUMNS, "user_id"])
    found = verdict(
        table.slice(0, rows), table.slice(len(table) - rows), alpha=DRIFT_ALPHA, least=DRIFT_DISTANCE, groups="user_id",
        columns=DRIFT_COLUMNS,
    )  # fmt: skip
    return found.reasons


def _decay(bundle: Bundle, judged: pa.Table, policy: Policy) -> Decay:
    """How the model keeps its promises."""
    return decay(
        observed.chances(judged, bundle),
        judged["engaged"].to_numpy().astype(bool),
        observed.viewers(judged),
        bias_margin=policy.bias_margin,
        loss_margin=policy.loss_margin,
    )
