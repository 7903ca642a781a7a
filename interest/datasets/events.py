"""The canonical events table: one row an action of a viewer, the columns of `records.Event`.

Two ways in. `read_events` is strict: files that a step of ours wrote hold no bad row, so the first raises.
`load_events` followed by `validate_events` is for logs that others bring: a bad row lands among the rejected,
with column, row and value, and never stops the good ones. A file that is no events file at all (a missing or
unknown column, a column of the wrong type) raises in both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from interest.catalog import Catalog
from interest.datasets import tables
from interest.errors import InvalidRecord
from interest.records import Event, Kind, Rejected

SCHEMA: pa.Schema = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("ts_ms", pa.int64(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("watch_ms", pa.int64(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("randomised", pa.bool_(), nullable=False),
    ]
)
DEFAULTS = {"watch_ms": 0, "position": 1, "randomised": False}
"""Columns that a file may lack, or leave empty in a row, with what stands for them then."""

LATEST_TS_MS = 100_000_000_000_000
"""The year 5138: a larger time was written in microseconds or nanoseconds."""

LISTED = 1000
"""Rejected rows listed one by one for each reason; the rest is one line that counts them."""

KINDS = tuple(kind.value for kind in Kind)


@dataclass(frozen=True)
class Fault:
    """Rows of one column that break one rule; `rows` counts from 0, `values` are as they stood."""

    rule: str
    column: str
    rows: np.ndarray
    values: pa.Array

    def reason(self, at: int) -> str:
        """One line for the fault's row number `at`."""
        return f"column {self.column!r} row {int(self.rows[at]) + 1}: {self.values[at].as_py()!r} {self.rule}"


@dataclass(frozen=True)
class Loaded:
    """A file's rows in `SCHEMA`; rows with a fault hold a null or a value that breaks a rule."""

    table: pa.Table
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class Validated:
    """Good rows sorted by (ts_ms, event_id), the rejected ones with reasons, and how many of each.

    `counts` has `rows` (read), `kept`, `rejected`, `out_of_order` (kept rows that stood behind one of a later
    time) and `rejected: <column> <rule>` for each rule that was broken.
    """

    table: pa.Table
    rejected: tuple[Rejected, ...]
    counts: dict[str, int]


def read_events(path: Path) -> pa.Table:
    """The rows of an events file in the file's order; raises `InvalidRecord` at the first bad one."""
    return _faultless(load_events(path), path)


def load_events(path: Path) -> Loaded:
    """The rows of `.parquet`, `.csv`, `.tsv` or `.jsonl`, with what is wrong with each; see the module."""
    match path.suffix:
        case ".parquet":
            raw = tables.read_parquet(path)
        case ".csv" | ".tsv":
            raw = tables.read_csv(path, delimiter="," if path.suffix == ".csv" else "\t")
        case ".jsonl" | ".ndjson":
            raw = tables.read_jsonl(path)
        case other:
            raise InvalidRecord(f"{path.name}: events come as .parquet, .csv, .tsv, .jsonl, not as {other!r}")
    return conform(raw, path)


def conform(raw: pa.Table, path: Path) -> Loaded:
    """Bring a raw table to `SCHEMA`; `path` is named in errors."""
    tables.require(raw.column_names, [name for name in SCHEMA.names if name not in DEFAULTS], path)
    unknown = [name for name in raw.column_names if name not in SCHEMA.names]
    if unknown:
        raise InvalidRecord(
            f"{path.name} has the column {unknown[0]!r}, which events do not have; "
            f"rename or drop it (events have {', '.join(SCHEMA.names)})"
        )
    columns: dict[str, pa.ChunkedArray] = {}
    faults: list[Fault] = []
    for field in SCHEMA:
        default = pa.scalar(DEFAULTS.get(field.name), field.type)
        if field.name not in raw.column_names:
            columns[field.name] = pa.chunked_array([pa.repeat(default, len(raw))])
            continue
        column = raw[field.name]
        try:
            typed = _typed(column, field)
        except TypeError as error:
            wanted = _wanted(field)
            raise InvalidRecord(f"{path.name} column {field.name!r} is {error}, not {wanted}") from error
        columns[field.name] = pc.if_else(pc.is_null(column), default, typed) if default.is_valid else typed
        faults.extend(_faults(column, columns[field.name], field))
    return Loaded(pa.table(columns), tuple(faults))


def validate_events(events: pa.Table | Loaded, catalog: Catalog | None = None) -> Validated:
    """Sort the good rows, set aside the bad ones: faults, repeated event ids, videos not in the catalogue.

    Of rows that share an event id the earliest stays. Raises `InvalidRecord` only for missing columns.
    """
    loaded = events if isinstance(events, Loaded) else conform(events, Path("events"))
    table = loaded.table
    bad = np.zeros(len(table), dtype=bool)
    faults = list(loaded.faults)
    for fault in faults:
        bad[fault.rows] = True
    if catalog is not None:
        known = pc.is_in(table["video_id"], value_set=pa.array(catalog.index.keys(), pa.string()))
        unknown = _found(~_mask(known) & ~bad, table["video_id"], "video_id", "is not in the catalogue")
        for fault in unknown:
            bad[fault.rows] = True
        faults += unknown
    good = np.flatnonzero(~bad)
    order = good[_order(table.take(good))]
    repeated = np.sort(order[_repeats(table["event_id"].take(order))])
    if len(repeated):
        values = table["event_id"].take(repeated).combine_chunks()
        faults.append(Fault("repeats an event_id: the earliest row stays", "event_id", repeated, values))
        order = order[~np.isin(order, repeated)]
    kept = pa.table(table.take(order).columns, schema=SCHEMA)
    times = table["ts_ms"].to_numpy()[np.sort(order)]
    counts = {
        "rows": len(table),
        "kept": len(kept),
        "rejected": len(table) - len(kept),
        "out_of_order": int((np.maximum.accumulate(times) > times).sum()),
    }
    for fault in faults:
        key = f"rejected: {fault.column} {fault.rule}"
        counts[key] = counts.get(key, 0) + len(fault.rows)
    return Validated(kept, tuple(_listed(faults, table)), counts)


def sort_events(table: pa.Table) -> pa.Table:
    """The rows in the order (ts_ms, event_id)."""
    return table.take(_order(table))


def write_events(path: Path, table: pa.Table) -> None:
    """Write the rows, sorted, as parquet; raises `InvalidRecord` for the first bad one."""
    table = _faultless(conform(table, path), path)
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(sort_events(table), path, compression="zstd")


def from_records(records: Iterable[Event]) -> pa.Table:
    """The table of these records, in their order."""
    rows = list(records)
    arrays = [pa.array([getattr(row, field.name) for row in rows], field.type) for field in SCHEMA]
    return pa.table(arrays, schema=SCHEMA)


def to_records(table: pa.Table) -> list[Event]:
    """The records of a valid table, in its order."""
    return [Event(**{**row, "kind": Kind(row["kind"])}) for row in table.to_pylist()]


def _faultless(loaded: Loaded, path: Path) -> pa.Table:
    if loaded.faults:
        first = min(loaded.faults, key=lambda fault: int(fault.rows[0]))
        raise InvalidRecord(f"{path.name} {first.reason(0)}")
    return pa.table(loaded.table.columns, schema=SCHEMA)


def _typed(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    """The column in the field's type, null where a cell does not fit; `TypeError` when no cell can."""
    if pa.types.is_integer(field.type):
        return tables.whole_numbers(column)
    if pa.types.is_boolean(field.type):
        return _truths(column)
    if tables.is_text(column.type) or pa.types.is_null(column.type):
        return column.cast(pa.string())
    if field.name.endswith("_id") and pa.types.is_integer(column.type):
        return column.cast(pa.string())
    raise TypeError(str(column.type))


def _truths(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_boolean(column.type) or pa.types.is_null(column.type):
        return column.cast(pa.bool_())
    if not (tables.is_text(column.type) or pa.types.is_integer(column.type)):
        raise TypeError(str(column.type))
    text = pc.utf8_lower(column.cast(pa.string()))
    yes = pc.is_in(text, value_set=pa.array(["true", "1"]))
    no = pc.is_in(text, value_set=pa.array(["false", "0"]))
    return pc.if_else(pc.or_(yes, no), yes, None)


def _wanted(field: pa.Field) -> str:
    if pa.types.is_integer(field.type):
        return "a whole number" + (" (milliseconds since 1970)" if field.name == "ts_ms" else "")
    return "true or false" if pa.types.is_boolean(field.type) else "text"


def _faults(raw: pa.ChunkedArray, typed: pa.ChunkedArray, field: pa.Field) -> list[Fault]:
    empty = _mask(pc.is_null(typed))
    found = _found(empty, raw, field.name, f"is not {_wanted(field)}")
    match field.name:
        case "kind":
            bad = pc.invert(pc.is_in(typed, value_set=pa.array(KINDS)))
            rule = f"is none of {', '.join(KINDS)}"
        case "ts_ms":
            bad = pc.or_(pc.less(typed, 0), pc.greater(typed, LATEST_TS_MS))
            rule = "is no time in milliseconds since 1970"
        case "watch_ms":
            bad, rule = pc.less(typed, 0), "is negative"
        case "position":
            bad, rule = pc.less(typed, 1), "is below 1, the first position"
        case "randomised":
            return found
        case _:
            bad, rule = pc.equal(typed, ""), "is empty"
    return found + _found(_mask(bad) & ~empty, raw, field.name, rule)


def _found(bad: np.ndarray, raw: pa.ChunkedArray, column: str, rule: str) -> list[Fault]:
    rows = np.flatnonzero(bad)
    if not len(rows):
        return []
    return [Fault(rule, column, rows, raw.take(pa.array(rows)).combine_chunks())]


def _mask(values: pa.ChunkedArray) -> np.ndarray:
    """bool [N], false where null."""
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), dtype=bool)


def _order(table: pa.Table) -> np.ndarray:
    """int64 [N]: rows by (ts_ms, event_id), equal ones in the table's order."""
    by_time = np.argsort(table["ts_ms"].to_numpy(), kind="stable")
    times = table["ts_ms"].to_numpy()[by_time]
    tied = np.flatnonzero(np.diff(times) == 0)
    if not len(tied):
        return by_time
    # Only rows that share a time need their ids compared, and text is slow to sort.
    among = np.union1d(tied, tied + 1)
    ids = np.array(table["event_id"].take(pa.array(by_time[among])).to_pylist(), dtype=object)
    by_time[among] = by_time[among][np.lexsort((_ranks(ids), times[among]))]
    return by_time


def _ranks(ids: np.ndarray) -> np.ndarray:
    """int64 [N]: the place of each id among the sorted ones, equal ids alike."""
    return np.unique(ids, return_inverse=True)[1]


def _repeats(ids: pa.ChunkedArray) -> np.ndarray:
    """bool [N]: whether the id came before."""
    codes = ids.combine_chunks().dictionary_encode().indices.to_numpy()
    repeated = np.ones(len(codes), dtype=bool)
    repeated[np.unique(codes, return_index=True)[1]] = False
    return repeated


def _listed(faults: Iterable[Fault], table: pa.Table) -> Iterable[Rejected]:
    for fault in faults:
        ids = table["event_id"].take(pa.array(fault.rows[:LISTED])).to_pylist()
        for at, event_id in enumerate(ids):
            yield Rejected(item=event_id or f"row {int(fault.rows[at]) + 1}", reason=fault.reason(at))
        more = len(fault.rows) - len(ids)
        if more > 0:
            yield Rejected(item=f"{more} more rows", reason=f"column {fault.column!r} {fault.rule}")
