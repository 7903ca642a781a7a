"""The job that makes reports: looks at the serving model and at the experiments, keeps what it found, deletes the old.

python -m monitoring.reports.job [--days 7]

On a cluster a CronJob and the step `report` of the pipeline `monitoring`; on a laptop `monitoring.reports` starts it.
Environment: RAPT_S3_*, AWS_* as everywhere.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from components.runtime import cache_home
from interest.errors import InterestError
from interest.experiments.assignment import Arm
from monitoring.experiments.records import audits
from monitoring.reports import tables
from monitoring.reports.look import Look, Looker, compared, span
from wire import reports
from wire.errors import ObjectNotFound, WireError
from wire.objects import ObjectStore
from wire.reports import EXPERIMENT, Report

LOG = logging.getLogger(__name__)
KEEP_DAYS = 7.0
LEAST_ARM = 200
"""Impressions of either arm from which on it is reported."""


def main() -> None:
    """Make the reports that are due and say what they are."""
    parser = argparse.ArgumentParser(prog="python -m monitoring.reports.job", description=__doc__.partition("\n")[0])
    parser.add_argument("--days", type=float, default=KEEP_DAYS, help="reports older than this are deleted")
    options = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        for one in make(ObjectStore.from_env(), keep_days=options.days):
            LOG.info("%s report %s: %s", one.kind, one.name, words(one))
    except (WireError, InterestError) as error:
        sys.exit(f"error: {error}")


def make(store: ObjectStore, *, keep_days: float = KEEP_DAYS) -> list[Report]:
    """Reports of the serving model, and of each experiment with something new; empty when no model serves.

    Raises WireError when the store cannot be used.
    """
    try:
        found = Looker(store, cache_home()).look(embeddings=True)
    except ObjectNotFound:
        LOG.info("no model serves: there is nothing to report on")
        return []
    reports.expire(store, keep_days)
    made = [_of_the_model(store, found)]
    made += _of_experiments(store, found)
    return made


def words(report: Report) -> str:
    """What a report says, in a line."""
    told = [] if report.verdict is None else list(report.verdict.reasons)
    told += report.worse
    told += report.decay.reasons if report.decay is not None else ()
    if told:
        return "; ".join(told)
    return "too few impressions to compare" if report.verdict is None else "nothing has moved"


def _of_the_model(store: ObjectStore, found: Look) -> Report:
    if found.report.verdict is None:
        return reports.write(store, found.report, {})
    from monitoring.reports import evidently

    sides = [_with_components(rows, found) for rows in (found.reference, found.current)]
    shown = [name for name in sides[0].column_names if name != tables.GROUPS]
    before, after = sides
    files = evidently.report(
        before, after, shown, name=found.report.name, made_ms=found.report.made_ms, target="engaged", score="score"
    )
    return reports.write(store, found.report, files)


def _with_components(rows: pa.Table, found: Look) -> pa.Table:
    made = tables.table(rows, found.catalog)
    for name, values in tables.components(rows, found.bundle).items():
        made = made.append_column(name, values)
    return made


def _of_experiments(store: ObjectStore, found: Look) -> Iterator[Report]:
    """Of each that is running, or has ended since its last report: what its arms were given, and what came of it."""
    before = {one.subject: one.made_ms for one in reversed(reports.newest(store, kind=EXPERIMENT))}
    names = pc.unique(found.shown["experiment"]).drop_null().to_pylist()
    for name in names:
        decisions = list(audits(store, name))
        if decisions and decisions[-1].after.phase.ended and before.get(name, 0) > decisions[-1].at_ms:
            continue
        rows = found.shown.filter(pc.equal(found.shown["experiment"], name))
        stable, candidate = (
            rows.filter(pc.equal(rows["arm"].cast(pa.string()), arm.value)) for arm in (Arm.STABLE, Arm.CANDIDATE)
        )
        if min(len(stable), len(candidate)) < LEAST_ARM:
            continue
        yield _of_an_experiment(store, found, name, stable, candidate)


def _of_an_experiment(store: ObjectStore, found: Look, name: str, stable: pa.Table, candidate: pa.Table) -> Report:
    from monitoring.reports import evidently

    before, after = (tables.table(rows, found.catalog) for rows in (stable, candidate))
    made_ms = time.time_ns() // 1_000_000
    kept = Report(
        kind=EXPERIMENT,
        name=reports.new_name(made_ms),
        made_ms=made_ms,
        model=candidate["model_digest"][-1].as_py(),
        subject=name,
        head=found.report.head,
        reference=span("the stable model's arm", stable),
        current=span("the candidate's arm", candidate),
        verdict=compared(before, after),
        quality=tuple(one for one in found.report.quality if one.slice == "arm" and one.level.startswith(f"{name}: ")),
    )
    files = evidently.report(
        before, after, tables.COLUMNS, name=kept.name, made_ms=made_ms, target="engaged", score="score"
    )
    return reports.write(store, kept, files)


if __name__ == "__main__":
    main()
