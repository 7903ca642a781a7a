"""Two tables that a user names, compared: files, objects of the store, or stretches of the observations."""

from __future__ import annotations

import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet as pq

from components.runtime import cache_home
from interest.datasets import observed
from interest.drift.columns import ALPHA, LEAST_DISTANCE
from interest.drift.verdict import verdict
from interest.experiments.spec import seconds
from monitoring.reports import tables
from monitoring.reports.look import MOST, Looker, span
from rapt.errors import InvalidOption
from wire import reports
from wire.objects import ObjectStore
from wire.reports import TABLES, Report, Span

STORED, TO = "s3://", ".."
CSV = (".csv", ".csv.gz")
EMPTY_IS_NULL = pyarrow.csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False)
"""As in Parquet; a text that is empty is quoted."""
AGO = re.compile(r"^\d+(\.\d+)?(s|m|h|d)$")
SOURCES = (
    "a CSV (.csv, .csv.gz) or Parquet file, a folder of Parquet files, s3://BUCKET/KEY, or observations as FROM..TO"
    " (as 24h..1h)"
)


@dataclass(frozen=True)
class Named:
    """A table, what it is called in a report, and whether it is of observations."""

    table: pa.Table
    span: Span
    observed: bool = False


@dataclass(frozen=True)
class Asked:
    """How to compare; empty for what fits the tables: all columns of files, and what we know of observations."""

    columns: tuple[str, ...] = ()
    groups: str = ""
    slices: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    alpha: float = ALPHA
    least: float = LEAST_DISTANCE


def compare(
    reference: str, current: str, asked: Asked, store: ObjectStore, *, pictures: bool
) -> tuple[Report, dict[str, bytes]]:
    """A report of two named tables, and with `pictures` Evidently's files of it; nothing is kept.

    Raises InvalidOption, InvalidRecord and InvalidSetting for what cannot be compared, ObjectNotFound.
    """
    now_ms = time.time_ns() // 1_000_000
    looker = Looker(store, cache_home())
    before = _named("--reference", reference, store, looker, now_ms)
    after = _named("--current", current, store, looker, now_ms)
    if before.observed and after.observed:
        asked = replace(asked, groups=asked.groups or tables.GROUPS, columns=asked.columns or tables.COLUMNS)
        if not asked.slices and not asked.outcomes:
            asked = replace(asked, slices=tables.SLICES, outcomes=tables.SLICED)
    known = dict.fromkeys([*before.table.column_names, *after.table.column_names])
    columns = asked.columns or tuple(name for name in known if name != asked.groups)
    report = Report(
        kind=TABLES, name=reports.new_name(now_ms), made_ms=now_ms, subject=f"{reference} and {current}",
        reference=before.span, current=after.span,
        verdict=verdict(
            before.table, after.table, alpha=asked.alpha, least=asked.least, groups=asked.groups or None,
            columns=columns, slices=asked.slices, outcomes=asked.outcomes,
        ),
    )  # fmt: skip
    if not pictures:
        return report, {}
    from monitoring.reports import evidently

    both = [name for name in columns if name in before.table.column_names and name in after.table.column_names]
    return report, evidently.report(before.table, after.table, both, name=report.name, made_ms=now_ms)


def _named(option: str, source: str, store: ObjectStore, looker: Looker, now_ms: int) -> Named:
    """The table that `source` names; raises InvalidOption, ObjectNotFound."""
    if TO in source and "/" not in source and not Path(source).exists():
        return _of_observations(option, source, looker, now_ms)
    with _file(source, store) as path:
        table = _read(option, source, path)
    return Named(table, Span(name=source, rows=len(table)))


def moment_ms(option: str, text: str, now_ms: int) -> int:
    """Milliseconds since 1970 of a moment: an ISO date or time (UTC unless it says so), or how long ago, as `24h`."""
    if AGO.match(text):
        return round(now_ms - 1000 * seconds(text))
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidOption(
            f"{option}: {text!r} is no moment; give an ISO date or time as 2026-11-01T08:00, or how long ago, as 24h"
        ) from None
    return round(1000 * (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


def _of_observations(option: str, source: str, looker: Looker, now_ms: int) -> Named:
    first, _, last = source.partition(TO)
    from_ms, to_ms = moment_ms(option, first, now_ms), moment_ms(option, last, now_ms) if last else now_ms
    if from_ms >= to_ms:
        raise InvalidOption(f"{option} {source!r} ends before it begins")
    rows = observed.impressions(looker.reader.newest(most=MOST, since_ms=from_ms))
    rows = rows.filter(pc.and_(pc.less(rows["logged_ms"], to_ms), pc.is_valid(rows["score"])))
    return Named(tables.table(rows, looker.catalog_of_serving()), span(f"observations {source}", rows), observed=True)


@contextmanager
def _file(source: str, store: ObjectStore) -> Iterator[Path]:
    if not source.startswith(STORED):
        yield Path(source).expanduser()
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / source.rpartition("/")[2]
        store.get_file(store.key(source), path)
        yield path


def _read(option: str, source: str, path: Path) -> pa.Table:
    if not path.exists():
        raise InvalidOption(f"{option} {source!r}: there is no such file; give {SOURCES}")
    try:
        if path.is_dir():
            table = pyarrow.dataset.dataset(path, format="parquet").to_table()
        elif path.name.lower().endswith(CSV):
            table = pyarrow.csv.read_csv(str(path), convert_options=EMPTY_IS_NULL)
        else:
            table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        what = str(error).splitlines()[0]
        raise InvalidOption(f"{option} {source!r} cannot be read as CSV or Parquet: {what}") from error
    if twice := [name for name, count in Counter(table.column_names).items() if count > 1]:
        raise InvalidOption(f"{option} {source!r} has more than one column {twice[0]!r}")
    return table
