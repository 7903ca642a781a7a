"""A/B tests that somebody else ran: a table of exposures, and events or a column of outcomes, as observations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from interest.datasets import tables
from interest.errors import InvalidRecord
from interest.experiments.assignment import Arm

NAME = "analysis"
LAST_MS = 253_402_300_799_999
"""The end of the year 9999."""


@dataclass(frozen=True)
class Columns:
    """What the columns are called. `request`, `kind`, `propensity` and `baseline` may be missing in the files."""

    user: str = "user_id"
    arm: str = "arm"
    time: str = "ts_ms"
    outcome: str = "engaged"
    request: str = "request_id"
    kind: str = "kind"
    propensity: str = "propensity"
    baseline: str = "baseline"


@dataclass(frozen=True)
class Meaning:
    """`candidate` and `stable` are the arms' names there, `share` the candidate's (None: as the viewers came, which
    leaves the sample ratio untested). An exposure engaged when an event of `kinds` (empty: of any) follows it
    `within_ms`, or, where both tables have the request, belongs to it.
    """

    candidate: str = Arm.CANDIDATE
    stable: str = Arm.STABLE
    share: float | None = None
    kinds: tuple[str, ...] = ()
    within_ms: int = 3_600_000


@dataclass(frozen=True)
class Observations:
    """The table for `Analysis`, when it begins and ends, and the candidate's share that was taken."""

    table: pa.Table
    begin_ms: int
    end_ms: int
    share: float
    assumed: bool


def read(exposures: Path, events: Path | None, columns: Columns, meaning: Meaning) -> Observations:
    """Exposures with their outcomes; raises InvalidRecord naming file, column and row."""
    shown = _table(exposures)
    tables.require(shown.column_names, [columns.user, columns.arm, columns.time], exposures)
    ts_ms = _moments(shown, columns.time, exposures)
    candidate = _arms(shown, columns.arm, meaning, exposures)
    users = tables.id_column(shown, columns.user, exposures)
    if events is None:
        tables.require(shown.column_names, [columns.outcome], exposures)
        engaged = _numbers(shown, columns.outcome, exposures)
    else:
        engaged = _followed(shown, users, ts_ms, _table(events), events, columns, meaning)
    if columns.propensity in shown.column_names:
        chance = tables.number_column(shown, columns.propensity, exposures, least=0.0)
        share, assumed = float(np.where(candidate, chance, 1.0 - chance)[0]), False
    else:
        share, assumed = _share(users, candidate, meaning)
        chance = np.where(candidate, share, 1.0 - share)
    wrong = np.flatnonzero((chance <= 0) | (chance >= 1))
    if len(wrong):
        raise InvalidRecord(
            f"{exposures.name}: row {wrong[0] + 1}: a propensity of {chance[wrong[0]]:g}; within (0, 1)"
        )
    baseline = _numbers(shown, columns.baseline, exposures) if columns.baseline in shown.column_names else None
    rows = shown.num_rows
    nothing = np.full(rows, np.nan)
    table = pa.table(
        {
            "experiment": pa.array([NAME] * rows),
            "user_id": users,
            "arm": pa.array(np.where(candidate, str(Arm.CANDIDATE), str(Arm.STABLE))),
            "propensity": chance,
            "logged_ms": ts_ms,
            "baseline": nothing if baseline is None else baseline,
            "latency_ms": nothing,
            "unknown": nothing,
            "candidates": nothing,
            "request_id": pa.array([str(row) for row in range(rows)]),
            "score": nothing,
            "engaged": engaged,
        }
    )
    return Observations(table, int(ts_ms.min()), int(ts_ms.max()), share, assumed)


def _table(path: Path) -> pa.Table:
    """A CSV or Parquet file; raises InvalidRecord."""
    table = tables.read_parquet(path) if path.suffix in {".parquet", ".pq"} else tables.read_csv(path)
    if not table.num_rows:
        raise InvalidRecord(f"{path.name} has no rows")
    return table


def _moments(table: pa.Table, name: str, path: Path) -> NDArray[np.int64]:
    """Milliseconds since 1970, or ISO 8601 (UTC unless stated), of which what is finer is cut off."""
    column = table[name]
    if pa.types.is_timestamp(column.type):
        return _of_timestamps(column, name, path)
    if tables.is_text(column.type) and not pc.all(pc.match_substring_regex(column, tables.WHOLE_NUMBER)).as_py():
        try:
            moments = pc.cast(pc.replace_substring_regex(column, r"(Z|\+00:?00)$", ""), pa.timestamp("ns"))
        except pa.ArrowInvalid as error:
            what = str(error).splitlines()[0]
            raise InvalidRecord(f"{path.name}: column {name!r}: {what}; ISO 8601 in UTC, or milliseconds") from error
        return _of_timestamps(moments, name, path)
    ts_ms = tables.integer_column(table, name, path)
    if len(late := np.flatnonzero(ts_ms > LAST_MS)):
        raise InvalidRecord(
            f"{path.name} column {name!r} row {late[0] + 1}: {ts_ms[late[0]]} is after the year 9999; "
            "whole numbers are milliseconds since 1970"
        )
    return np.asarray(ts_ms)


def _of_timestamps(moments: pa.ChunkedArray, name: str, path: Path) -> NDArray[np.int64]:
    if moments.null_count:
        row = int(np.argmax(np.asarray(pc.is_null(moments).to_numpy(), bool)))
        raise InvalidRecord(f"{path.name} column {name!r} row {row + 1} is empty; a time is needed")
    return np.asarray(pc.cast(moments, pa.timestamp("ms"), safe=False).cast(pa.int64()).to_numpy())


def _arms(table: pa.Table, name: str, meaning: Meaning, path: Path) -> NDArray[np.bool_]:
    arms = table[name].cast(pa.string())
    known = pc.is_in(arms, value_set=pa.array([meaning.stable, meaning.candidate]))
    if not pc.all(pc.fill_null(known, False)).as_py():
        found = sorted({str(arm) for arm in pc.unique(arms).to_pylist()})
        raise InvalidRecord(
            f"{path.name}: column {name!r} holds {found[:6]}; expected {meaning.stable!r} and {meaning.candidate!r}: "
            "name them with --stable and --candidate"
        )
    return np.asarray(pc.equal(arms, meaning.candidate).to_numpy(), bool)


def _numbers(table: pa.Table, name: str, path: Path) -> NDArray[np.float64]:
    """Numbers, or true and false; NaN where there is none."""
    column = table[name]
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.float64())
    elif tables.is_text(column.type):
        column = pc.utf8_lower(column.cast(pa.string()))
        for word, number in (("true", "1"), ("false", "0")):
            column = pc.if_else(pc.equal(column, word), number, column)
    there = pc.is_valid(column)
    values = np.full(table.num_rows, np.nan)
    mask = np.asarray(there.to_numpy(), bool)
    values[mask] = tables.number_column(pa.table({name: column}).filter(there), name, path)
    return values


def _followed(
    shown: pa.Table, users: pa.Array, ts_ms: NDArray[np.int64], done: pa.Table, path: Path, columns: Columns,
    meaning: Meaning,
) -> NDArray[np.float64]:  # fmt: skip
    """Whether an event that counts follows each exposure."""
    if meaning.kinds:
        tables.require(done.column_names, [columns.kind], path)
        done = done.filter(pc.is_in(done[columns.kind].cast(pa.string()), value_set=pa.array(list(meaning.kinds))))
    if columns.request in shown.column_names and columns.request in done.column_names:
        requests = done[columns.request].cast(pa.string()).combine_chunks()
        # An exposure without a request is nobody's, whatever events have none either.
        engaged = pc.is_in(shown[columns.request].cast(pa.string()), value_set=requests.drop_null())
        return np.asarray(engaged.to_numpy(), np.float64)
    tables.require(done.column_names, [columns.user, columns.time], path)
    if not done.num_rows:
        return np.zeros(shown.num_rows)
    at_ms = _moments(done, columns.time, path)
    names = pa.concat_arrays([_plain(users), _plain(tables.id_column(done, columns.user, path))]).dictionary_encode()
    codes = names.indices.to_numpy().astype(np.int64)
    span = int(max(ts_ms.max(), at_ms.max()) + meaning.within_ms - min(ts_ms.min(), at_ms.min())) + 2
    first = int(min(ts_ms.min(), at_ms.min()))
    events = np.sort(codes[shown.num_rows :] * span + (at_ms - first))
    begin = codes[: shown.num_rows] * span + (ts_ms - first)
    place = np.searchsorted(events, begin)
    there = place < len(events)
    engaged = np.zeros(shown.num_rows)
    engaged[there] = events[place[there]] <= begin[there] + meaning.within_ms
    return engaged


def _plain(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return whole.cast(pa.string())


def _share(users: pa.Array, candidate: NDArray[np.bool_], meaning: Meaning) -> tuple[float, bool]:
    if meaning.share is not None:
        return meaning.share, False
    codes = _plain(users).dictionary_encode().indices.to_numpy()
    first = np.unique(codes, return_index=True)[1]
    share = float(candidate[first].mean())
    if share in (0.0, 1.0):
        raise InvalidRecord("all viewers are in one arm; there is nothing to compare")
    return share, True
