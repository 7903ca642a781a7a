"""One look at the model that serves: its quality by slice, whether it keeps its promises, what has drifted under it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from interest.bundle import Bundle
from interest.catalog import Catalog
from interest.datasets import observed
from interest.decay import Interval, decay
from interest.drift.embeddings import Vectors
from interest.drift.verdict import Verdict, verdict
from interest.quality import Quality, calibration_curve, quality
from monitoring.reports import tables
from wire import models, observations, reports
from wire.errors import ObjectNotFound
from wire.objects import ObjectStore
from wire.reports import MODEL, Report, Span

LOG = logging.getLogger(__name__)
MOST = 200_000
"""The newest impressions are looked at, so many at most."""
SIDE = 50_000
"""Impressions of the reference and the current table, at most: the model's first and its last."""
LEAST = 1000
"""Impressions that each of the two needs."""
ALPHA, DISTANCE = 0.001, 0.1
"""One looks often, and not every change is worth a word."""
LATER = 6
"""Positions from here on are one slice."""
PROMISES = ("auc", "ne", "ece", "gauc", "predicted_over_actual")
COLUMNS = (
    "request_id", "user_id", "experiment", "arm", "model_digest", "ts_ms", "logged_ms", "candidates", "unknown",
    "label_age_ms", "video_id", "score", "scored_position", "position", "randomised", "engaged", "watch_ms", "liked",
    "shared", "skipped",
)  # fmt: skip


@dataclass(frozen=True)
class Look:
    """What was seen: the report so far, without files, and what it stands on, empty tables when that is too little."""

    report: Report
    bundle: Bundle
    catalog: Catalog
    shown: pa.Table
    reference: pa.Table
    current: pa.Table


class Looker:
    """Looks again and again; what was read is not read again."""

    def __init__(self, store: ObjectStore, cache: Path) -> None:
        self.store, self.cache = store, cache
        self.reader = observations.Reader(store, COLUMNS)
        self.bundle = lru_cache(maxsize=8)(self._bundle)
        self.catalog = lru_cache(maxsize=2)(self._catalog)

    def look(self, *, embeddings: bool = False) -> Look:
        """Look now; `embeddings` compares those too. Raises ObjectNotFound when no model serves."""
        served = models.serving(self.store)
        bundle, head = self.bundle(served.digest), observations.head(self.store)
        catalog = self.catalog(served.digest)
        everything = observed.impressions(self.reader.newest(most=MOST))
        scored = everything.filter(pc.is_valid(everything["score"]))
        mine = observed.served_by(scored, served.digest, served.promoted_at_ms)
        reference, current = _sides(mine)
        chance, engaged = observed.chances(mine, bundle), mine["engaged"].to_numpy().astype(bool)
        viewer = observed.viewers(mine)
        made_ms = time.time_ns() // 1_000_000
        whole = quality(chance, engaged, viewer, _slices(mine, catalog))
        said = promised(bundle)
        report = Report(
            kind=MODEL,
            name=reports.new_name(made_ms),
            made_ms=made_ms,
            model=served.digest,
            head=head.seq if head else 0,
            reference=span("the model's first impressions", reference),
            current=span("its last", current),
            verdict=self._verdict(reference, current, bundle, catalog, embeddings=embeddings),
            quality=(*whole, *self._by_model(scored)),
            calibration=calibration_curve(chance, engaged, viewer),
            decay=decay(chance, engaged, viewer),
            promised=said,
            worse=worse(whole[0], said),
        )
        return Look(report, bundle, catalog, scored, reference, current)

    def catalog_of_serving(self) -> Catalog:
        """What is known of the videos of the model that serves; raises ObjectNotFound when none does."""
        return self.catalog(models.latest(self.store))

    def _verdict(
        self, reference: pa.Table, current: pa.Table, bundle: Bundle, catalog: Catalog, *, embeddings: bool
    ) -> Verdict | None:
        if not len(reference):
            return None
        before, after = (tables.table(rows, catalog) for rows in (reference, current))
        return compared(before, after, tables.embeddings(reference, current, bundle) if embeddings else None)

    def _by_model(self, scored: pa.Table) -> tuple[Quality, ...]:
        """Of each model that answered, and of each arm, with the scores that were seen there."""
        digest = np.asarray(scored["model_digest"].cast(pa.string()).to_pylist(), dtype=object)
        chance = np.full(len(scored), np.nan)
        for one in set(digest):
            try:
                bundle = self.bundle(one)
            except ObjectNotFound:
                LOG.warning("model %s is no longer there: its impressions are left out", one[:12])
                continue
            rows = np.flatnonzero(digest == one)
            chance[rows] = observed.chances(scored.take(rows), bundle)
        known = np.flatnonzero(~np.isnan(chance))
        told, chance = scored.take(known), chance[known]
        engaged, viewer = told["engaged"].to_numpy().astype(bool), observed.viewers(told)
        both = zip(told["experiment"].to_pylist(), told["arm"].to_pylist(), strict=True)
        arms = [f"{experiment}: {arm}" if experiment else arm for experiment, arm in both]
        slices = {"model": [one[:12] for one in digest[known]], "arm": arms}
        return quality(chance, engaged, viewer, slices)[1:]

    def _bundle(self, digest: str) -> Bundle:
        return models.fetch_bundle(self.store, digest, self.cache)

    def _catalog(self, digest: str) -> Catalog:
        found = models.catalog_of(self.store, self.bundle(digest))
        if not len(found):
            LOG.warning("the data of model %s are not there: topics, lengths and captions are unknown", digest[:12])
        return found


def compared(
    reference: pa.Table, current: pa.Table, embeddings: Mapping[str, tuple[Vectors, Vectors]] | None = None
) -> Verdict:
    """The verdict on two of `tables.table`, at the level of those who look often."""
    return verdict(
        reference,
        current,
        alpha=ALPHA,
        least=DISTANCE,
        groups=tables.GROUPS,
        columns=tables.COLUMNS,
        embeddings=embeddings,
        slices=tables.SLICES,
        outcomes=tables.SLICED,
    )


def promised(bundle: Bundle) -> dict[str, float]:
    """Figures of the model's training report; empty when it has none, or not these."""
    try:
        figures = json.loads((bundle.folder / "metrics.json").read_text())["slices"]["all"]
    except (OSError, ValueError, KeyError):
        return {}
    found = {name: figures.get(name) for name in PROMISES}
    values = {name: one["value"] if isinstance(one, dict) else one for name, one in found.items()}
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}


def worse(whole: Quality, said: dict[str, float]) -> tuple[str, ...]:
    """In words where the whole interval of a figure is on the wrong side of what training reported."""
    told = []
    for name, title, sign in (("ne", "normalised entropy", 1), ("auc", "AUC", -1), ("gauc", "AUC within viewers", -1)):
        found: Interval | None = getattr(whole, name)
        if found is None or name not in said:
            continue
        near = found.lower if sign > 0 else found.upper
        if sign * (near - said[name]) > 0:
            where = f"{found.value:.3f} ({found.lower:.3f} to {found.upper:.3f})"
            told.append(f"{title} is {where}; in training it was {said[name]:.3f}")
    return tuple(told)


def _slices(mine: pa.Table, catalog: Catalog) -> dict[str, list[str]]:
    """By which the serving model's quality is told."""
    topics = {video.video_id: video.topic or "none" for video in catalog}
    days = pc.strftime(mine["logged_ms"].cast(pa.timestamp("ms")), format="%Y-%m-%d")
    return {
        "topic": [topics.get(one, "new to the model") for one in mine["video_id"].to_pylist()],
        "position": [str(one) if one < LATER else f"{LATER} and later" for one in mine["position"].to_pylist()],
        "page": ["at random" if one else "ranked" for one in mine["randomised"].to_pylist()],
        "day": days.to_pylist(),
        "label age": ["unknown" if one is None else f"{one / 1000:g} s" for one in mine["label_age_ms"].to_pylist()],
    }


def _sides(mine: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The first impressions and the last, equally many; none when there are too few."""
    rows = min(len(mine) // 2, SIDE)
    rows = rows if rows >= LEAST else 0
    return mine.slice(0, rows), mine.slice(len(mine) - rows)


def span(name: str, rows: pa.Table) -> Span:
    """Rows in order of time as a report names them."""
    times = rows["logged_ms"]
    ends = (times[0].as_py(), times[-1].as_py()) if len(rows) else (None, None)
    return Span(name=name, rows=len(rows), from_ms=ends[0], to_ms=ends[1])
