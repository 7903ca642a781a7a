"""Tables out of files that others wrote (CSV, JSON lines, parquet); errors name file, column and row.

CSV cells stay text until a reader says what they are, so that a bad cell can be shown as it stands.
Rows count from 1, the header not counted.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from interest.errors import InvalidRecord

Scalar = str | int | float | bool | None
WHOLE_NUMBER = r"^[+-]?[0-9]{1,18}$"


def read_csv(path: Path, columns: Sequence[str] | None = None, *, delimiter: str = ",") -> pa.Table:
    """The named columns of a CSV file with a header (all of them when none is named), every cell text.

    Raises `InvalidRecord` for a missing column, a ragged row, or bytes that are not UTF-8.
    """
    header = _header(path, delimiter)
    wanted = list(columns) if columns is not None else header
    require(header, wanted, path)
    ragged: list[str] = []

    def refuse(row: pyarrow.csv.InvalidRow) -> str:
        ragged.append(f"row {row.number - 1} has {row.actual_columns} cells, not {row.expected_columns}")
        return "error"

    try:
        return pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=refuse
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=wanted,
                column_types=dict.fromkeys(wanted, pa.string()),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
            ),
        )
    except pa.ArrowInvalid as error:
        what = ragged[0] if ragged else str(error).splitlines()[0]
        raise InvalidRecord(f"{path.name}: {what}; {len(header)} columns of UTF-8 text are expected") from error


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The named columns of a parquet file; raises `InvalidRecord` when it is none or lacks one."""
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if columns is not None:
                require(file.schema_arrow.names, columns, path)
            return file.read(columns=None if columns is None else list(columns))
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidRecord(f"{path.name} is not a readable parquet file: {str(error).splitlines()[0]}") from error


def read_jsonl(path: Path) -> pa.Table:
    """One flat JSON object a line; a column whose values differ in type is text, each value as written.

    Raises `InvalidRecord` with the line that is no such object.
    """
    rows: list[dict[str, Scalar]] = []
    decoder = msgspec.json.Decoder(dict[str, Scalar])
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                rows.append(decoder.decode(line))
            except msgspec.DecodeError as error:
                raise InvalidRecord(f"{path.name} line {number}: {error}") from error
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _json_column([row.get(name) for row in rows]) for name in names})


def read_cells(path: Path) -> Iterator[list[str]]:
    """The cells of each row of a CSV file as they come, header included, however many they are."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            yield from csv.reader(file)
        except (csv.Error, UnicodeDecodeError) as error:
            raise InvalidRecord(f"{path.name} is not a UTF-8 CSV file: {error}") from error


def require(names: Sequence[str], wanted: Sequence[str], path: Path) -> None:
    """Raise `InvalidRecord` for the first wanted column that is not among `names`."""
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InvalidRecord(f"{path.name} lacks the column {missing[0]!r}; it has {', '.join(names) or 'none'}")


def whole_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column as int64, null wherever a cell is no whole number (text, 1.5, NaN, empty).

    Raises `TypeError` for a column that cannot hold numbers at all: booleans, times, lists.
    """
    kind = column.type
    if pa.types.is_integer(kind):
        return _checked_cast(column, pc.less_equal(column, np.iinfo(np.int64).max))
    if pa.types.is_null(kind):
        return column.cast(pa.int64())
    if pa.types.is_floating(kind):
        # Beyond 2^53 a float no longer tells neighbouring whole numbers apart.
        exact = pc.and_(pc.equal(column, pc.floor(column)), pc.less(pc.abs(column), 2.0**53))
        return _checked_cast(column, exact)
    if not is_text(kind):
        raise TypeError(str(kind))
    text = column.cast(pa.string())
    try:
        return text.cast(pa.int64())
    except pa.ArrowInvalid:
        return _checked_cast(text, pc.match_substring_regex(text, WHOLE_NUMBER))


def numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column as float64, null wherever a cell is no finite number; raises `TypeError` as above."""
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        values = column.cast(pa.float64())
    elif is_text(column.type):
        text = column.cast(pa.string())
        shape = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
        values = pc.if_else(pc.match_substring_regex(text, shape), text, None).cast(pa.float64())
    else:
        raise TypeError(str(column.type))
    return pc.if_else(pc.is_finite(values), values, None)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of that type holds text, as it is or as a dictionary."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def integer_column(table: pa.Table, name: str, path: Path, *, least: int | None = None) -> np.ndarray:
    """int64 [N] of a column in which every cell must be a whole number, at least `least`."""
    return _strict(table, name, path, whole_numbers, "a whole number", least)


def number_column(table: pa.Table, name: str, path: Path, *, least: float | None = None) -> np.ndarray:
    """float64 [N] of a column in which every cell must be a finite number, at least `least`."""
    return _strict(table, name, path, numbers, "a number", least)


def flag_column(table: pa.Table, name: str, path: Path) -> np.ndarray:
    """bool [N] of a column in which every cell must be 0 or 1."""
    values = integer_column(table, name, path, least=0)
    bad = values > 1
    if bad.any():
        row = int(bad.argmax())
        raise InvalidRecord(f"{path.name} column {name!r} row {row + 1}: {values[row]} is neither 0 nor 1")
    return np.asarray(values, dtype=np.bool_)


def id_column(table: pa.Table, name: str, path: Path) -> pa.Array:
    """string [N] of a column of ids, whole numbers or text, none of them empty."""
    column = table[name]
    if not (is_text(column.type) or pa.types.is_integer(column.type)):
        raise InvalidRecord(f"{path.name} column {name!r} is {column.type}; ids are text or whole numbers")
    text = column.cast(pa.string()).combine_chunks()
    empty = pc.fill_null(pc.equal(text, ""), True).to_numpy(zero_copy_only=False)
    if empty.any():
        raise InvalidRecord(f"{path.name} column {name!r} row {int(empty.argmax()) + 1} is empty; an id is needed")
    return text


def _strict(
    table: pa.Table,
    name: str,
    path: Path,
    parse: Callable[[pa.ChunkedArray], pa.ChunkedArray],
    wanted: str,
    least: float | None,
) -> np.ndarray:
    column = table[name]
    try:
        values = parse(column)
    except TypeError as error:
        raise InvalidRecord(f"{path.name} column {name!r} is {error}, not {wanted}") from error
    good = pc.is_valid(values) if least is None else pc.fill_null(pc.greater_equal(values, least), False)
    bad = ~good.to_numpy(zero_copy_only=False)
    if bad.any():
        row = int(bad.argmax())
        bound = "" if least is None else f" of at least {least}"
        raise InvalidRecord(
            f"{path.name} column {name!r} row {row + 1}: {column[row].as_py()!r} is not {wanted}{bound}"
        )
    return np.asarray(values.to_numpy())


def _checked_cast(column: pa.ChunkedArray, good: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(good, column, None).cast(pa.int64())


def _json_column(values: list[Scalar]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1 and not (kinds == {int} and any(value and abs(value) >= 2**63 for value in values)):  # type: ignore[arg-type]
        return pa.array(values)
    encode = msgspec.json.encode
    texts = (value if value is None or isinstance(value, str) else encode(value).decode() for value in values)
    return pa.array(list(texts), pa.string())


def _header(path: Path, delimiter: str) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
    except UnicodeDecodeError as error:
        raise InvalidRecord(f"{path.name} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    names = [name.strip().strip('"') for name in first.rstrip("\r\n").split(delimiter)]
    if not first.strip():
        raise InvalidRecord(f"{path.name} is empty; a header with column names is expected")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidRecord(f"{path.name} has the column {twice!r} twice")
    return names
