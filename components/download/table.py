"""The list of videos a user gives: a CSV, JSON lines or Parquet file, row by row checked."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NoReturn

import msgspec

from interest.errors import InvalidRecord
from interest.records import Rejected
from wire.fetch import redacted

COLUMNS = ("url", "path", "caption", "video_id", "published_at", "topic")
MAX_CELL_CHARACTERS = 1_000_000
MAX_ID_CHARACTERS = 200


@dataclass(frozen=True)
class Item:
    """One wanted video: exactly one of `url` and `path` is set; empty means that the user gave nothing."""

    row: int
    url: str = ""
    path: str = ""
    caption: str = ""
    video_id: str = ""
    published_at_ms: int = 0
    topic: str | None = None

    @property
    def name(self) -> str:
        """How messages and `rejected.jsonl` call it; without secrets."""
        return f"row {self.row}: {redacted(self.url) if self.url else self.path}"


def read_items(path: Path) -> tuple[list[Item], list[Rejected]]:
    """The items of a list in file order, and the rows that break the contract with their reasons.

    Rows count from 1, the header apart. Raises `InvalidRecord` when the file is empty, no table, or has
    neither a column `url` nor `path`.
    """
    items: list[Item] = []
    rejected: list[Rejected] = []
    seen: dict[str, int] = {}
    number = 0
    for number, cells in enumerate(_rows(path), start=1):
        try:
            item = _item(number, cells if isinstance(cells, dict) else _fail(cells))
            if item.video_id in seen:
                _fail(f"column video_id: {item.video_id!r} is that of row {seen[item.video_id]} too")
        except InvalidRecord as error:
            rejected.append(Rejected(item=f"row {number}", reason=str(error)))
            continue
        if item.video_id:
            seen[item.video_id] = number
        items.append(item)
    if number == 0:
        raise InvalidRecord(f"{path.name} has no rows; give one row a video, with a column url or path")
    return items, rejected


def _rows(path: Path) -> Iterator[dict[str, object] | str]:
    """Each row as column → cell, columns in lower case; a string says what is wrong with the row."""
    data = path.read_bytes()
    if not data.strip():
        raise InvalidRecord(f"{path.name} is empty; give a header with a column url or path, and rows")
    if data.startswith(b"PAR1"):
        return _parquet_rows(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InvalidRecord(f"{path.name} line {line} is not UTF-8; save the file as UTF-8") from None
    return _json_rows(text) if text.lstrip().startswith("{") else _csv_rows(path, text)


def _parquet_rows(path: Path) -> Iterator[dict[str, object] | str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidRecord(f"{path.name} is no readable Parquet file: {error}") from None
    _columns(path, table.column_names)
    for row in table.to_pylist():
        yield {name.strip().lower(): cell for name, cell in row.items()}


def _json_rows(text: str) -> Iterator[dict[str, object] | str]:
    for line in text.split("\n"):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line, type=dict[str, object])
        except msgspec.DecodeError as error:
            yield f"not a JSON object: {error}"
        else:
            yield {name.strip().lower(): cell for name, cell in row.items()}


def _csv_rows(path: Path, text: str) -> Iterator[dict[str, object] | str]:
    if "\0" in text:
        raise InvalidRecord(f"{path.name} holds zero bytes; it is no CSV file")
    limit = csv.field_size_limit(MAX_CELL_CHARACTERS)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        columns = _columns(path, next(reader))
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(columns):
                yield f"{len(cells)} cells where the header has {len(columns)}; quote cells that hold commas"
            else:
                yield dict(zip(columns, cells, strict=True))
    except csv.Error as error:
        raise InvalidRecord(f"{path.name} line {reader.line_num}: {error}") from None
    finally:
        csv.field_size_limit(limit)


def _columns(path: Path, names: list[str]) -> list[str]:
    columns = [name.strip().lower() for name in names]
    twice = next((name for name in COLUMNS if columns.count(name) > 1), None)
    if twice:
        raise InvalidRecord(f"{path.name}: column {twice!r} occurs twice in the header")
    if not {"url", "path"} & set(columns):
        raise InvalidRecord(f"{path.name} lacks a column url or path; its columns are {', '.join(columns)[:200]}")
    return columns


def _item(row: int, cells: Mapping[str, object]) -> Item:
    url, path, caption, video_id, published, topic = (_text(name, cells.get(name)) for name in COLUMNS)
    if bool(url) == bool(path):
        _fail("columns url and path: give exactly one of them")
    if "\0" in path:
        _fail("column path: holds a zero byte")
    if len(video_id) > MAX_ID_CHARACTERS or not video_id.isprintable():
        _fail(f"column video_id: {video_id[:40]!r}… is over {MAX_ID_CHARACTERS} characters or unprintable")
    return Item(row, url, path, caption, video_id, _published_ms(published), topic or None)


def _text(column: str, cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime | date):
        return cell.isoformat()
    if not isinstance(cell, str | int):
        _fail(f"column {column}: {str(cell)[:40]!r} is no text")
    return str(cell).strip()


def _published_ms(text: str) -> int:
    """Milliseconds since 1970 of an ISO 8601 date or time (UTC unless it says otherwise) or of themselves."""
    if not text:
        return 0
    try:
        if text.isdecimal():
            return int(text)
        moment = datetime.fromisoformat(text)
        return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        _fail(f"column published_at: {text[:40]!r} is neither ISO 8601 nor milliseconds since 1970")


def _fail(what: str) -> NoReturn:
    raise InvalidRecord(what)
