"""The columns of two tables side by side, each as numbers: values, or codes of levels; NaN is null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from interest.datasets.tables import is_text
from interest.errors import InvalidRecord

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Table: TypeAlias = pa.Table | Mapping[str, NDArray[Any]]
SIDES = ("reference", "current")


@dataclass(frozen=True)
class Pair:
    """One column of both tables: `values`, float64 [N] of each, NaN where there is none.

    `names`: what the values are codes of, for booleans and text; None for numbers. `groups`, int64 [N] of each: whose
    row it is, over both tables; None when rows are independent.
    """

    name: str
    values: tuple[Floats, Floats]
    names: tuple[str, ...] | None = None
    groups: tuple[Ints, Ints] | None = None

    @property
    def rows(self) -> tuple[int, int]:
        """Rows of the two tables."""
        return len(self.values[0]), len(self.values[1])

    @property
    def units(self) -> tuple[int, int]:
        """Independent units of the two tables: groups, or rows."""
        if self.groups is None:
            return self.rows
        return _distinct(self.groups[0]), _distinct(self.groups[1])

    def where(self, masks: tuple[NDArray[np.bool_], NDArray[np.bool_]]) -> Pair:
        """Some of the rows."""
        values = (self.values[0][masks[0]], self.values[1][masks[1]])
        groups = self.groups and (self.groups[0][masks[0]], self.groups[1][masks[1]])
        return replace(self, values=values, groups=groups)


def pairs(
    reference: Table, current: Table, names: Sequence[str] | None = None, groups: str | None = None
) -> list[Pair]:
    """The named columns (all but `groups` when none is named) of two tables, or of dicts of arrays [N].

    A column that one table lacks is null there. Raises InvalidRecord naming the column: of a type that is no number,
    boolean or text, of different types in the two tables, in neither, of another length; a row without its group.
    """
    tables = (_table(reference, SIDES[0]), _table(current, SIDES[1]))
    owners = _owners(tables, groups) if groups is not None else None
    if names is None:
        names = [name for name in dict.fromkeys([*tables[0].column_names, *tables[1].column_names]) if name != groups]
    return [_pair(name, tables, owners) for name in names]


def codes(columns: tuple[pa.ChunkedArray, pa.ChunkedArray]) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Two columns as codes of their levels, NaN for null, and the levels as text."""
    text = [column.cast(pa.string()) for column in columns]
    encoded = pa.chunked_array([chunk for one in text for chunk in one.chunks], pa.string()).combine_chunks()
    encoded = encoded.dictionary_encode()
    numbers = np.asarray(encoded.indices.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    first = len(columns[0])
    return numbers[:first], numbers[first:], tuple(encoded.dictionary.to_pylist())


def _distinct(numbers: Ints) -> int:
    return int(np.count_nonzero(np.bincount(numbers)))


def _table(table: Table, side: str) -> pa.Table:
    if isinstance(table, pa.Table):
        return table
    columns = {}
    for name, values in table.items():
        try:
            columns[name] = pa.array(values, from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            what = str(error).splitlines()[0]
            raise InvalidRecord(
                f"column {name!r} of the {side} table: {what}; one type is needed, numbers, booleans or text"
            ) from error
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidRecord(f"the columns of the {side} table differ in length: {lengths}")
    return pa.table(columns)


def _pair(name: str, tables: tuple[pa.Table, pa.Table], owners: tuple[Ints, Ints] | None) -> Pair:
    there = [name in table.column_names for table in tables]
    if not any(there):
        raise InvalidRecord(
            f"no table has the column {name!r}; they have {', '.join(tables[0].column_names) or 'none'}"
        )
    columns = [
        table[name] if has else pa.chunked_array([pa.nulls(table.num_rows)])
        for table, has in zip(tables, there, strict=True)
    ]
    kinds = {_kind(name, column, side) for column, side in zip(columns, SIDES, strict=True)} - {"nothing"}
    if len(kinds) > 1:
        types = " and ".join(f"{column.type} in the {side}" for column, side in zip(columns, SIDES, strict=True))
        raise InvalidRecord(f"column {name!r} is {types} table; give both the same type")
    if kinds <= {"numbers"}:
        return Pair(name, (_numbers(columns[0]), _numbers(columns[1])), groups=owners)
    reference, current, names = codes((columns[0], columns[1]))
    return Pair(name, (reference, current), names, owners)


def _kind(name: str, column: pa.ChunkedArray, side: str) -> str:
    kind = column.type
    if pa.types.is_null(kind) or column.null_count == len(column):
        return "nothing"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "numbers"
    if pa.types.is_boolean(kind):
        return "booleans"
    if is_text(kind):
        return "text"
    raise InvalidRecord(f"column {name!r} of the {side} table is {kind}; drift is tested of numbers, booleans and text")


def _numbers(column: pa.ChunkedArray) -> Floats:
    if column.null_count == len(column):
        return np.full(len(column), np.nan)
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)


def _owners(tables: tuple[pa.Table, pa.Table], name: str) -> tuple[Ints, Ints]:
    for table, side in zip(tables, SIDES, strict=True):
        if name not in table.column_names:
            raise InvalidRecord(f"the {side} table lacks the column {name!r} by which rows are grouped")
        missing = pc.is_null(table[name]).to_numpy()
        if missing.any():
            raise InvalidRecord(f"column {name!r} of the {side} table: row {int(missing.argmax()) + 1} has no group")
    reference, current, _ = codes((tables[0][name], tables[1][name]))
    return reference.astype(np.int64), current.astype(np.int64)
