"""Good events come in, bad ones are set aside with reasons, a layout's videos join the catalogue."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.errors import TooManyRejected
from components.import_user_logs.step import run
from interest.catalog import Catalog
from interest.datasets.events import read_events
from interest.errors import InvalidRecord, InvalidSetting
from interest.records import Video

HEADER = "event_id,user_id,video_id,request_id,ts_ms,kind,watch_ms\n"
KUAIREC = "user_id,video_id,play_duration,video_duration,timestamp\n5,v,100,2000,9.5\n5,w,3000,3000,8\n"


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    Catalog((Video(video_id="v", uri="s3://b/videos/1", caption="mine", duration_s=4.0),)).write(tmp_path / "catalog")
    return tmp_path / "catalog"


def test_good_rows_come_in_sorted_and_bad_ones_are_listed(tmp_path: Path, catalog: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(HEADER + "b,u,v,r,20,watch,5\na,u,v,r,10,impression,\nc,u,gone,r,30,watch,1\na,u,v,r,40,like,\n")
    counts = run(str(log), catalog, tmp_path / "events")
    assert (counts["rows"], counts["kept"], counts["rejected"], counts["out_of_order"]) == (4, 2, 2, 1)
    assert read_events(tmp_path / "events" / "events.parquet")["event_id"].to_pylist() == ["a", "b"]
    rejected = [json.loads(line) for line in (tmp_path / "events" / "rejected.jsonl").read_text().splitlines()]
    assert [row["item"] for row in rejected] == ["c", "a"]
    assert json.loads((tmp_path / "events" / "counts.json").read_text()) == counts


def test_what_it_wrote_can_be_its_source(tmp_path: Path, catalog: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(HEADER + "b,u,v,r,20,watch,5\n")
    first = run(str(log), catalog, tmp_path / "one")
    assert run(str(tmp_path / "one"), catalog, tmp_path / "two") == first


def test_a_layout_joins_its_videos_behind_those_of_the_catalogue(tmp_path: Path, catalog: Path) -> None:
    logs = tmp_path / "kuairec"
    logs.mkdir()
    (logs / "big_matrix.csv").write_text(KUAIREC)
    counts = run(str(logs), catalog, tmp_path / "events", tmp_path / "joined")
    assert counts["kept"] == 4
    joined = Catalog.read(tmp_path / "joined")
    assert [(video.video_id, video.uri, video.duration_s) for video in joined] == [
        ("v", "s3://b/videos/1", 4.0),
        ("w", "", 3.0),
    ]
    assert run(str(logs), catalog, tmp_path / "events2")["rejected: video_id is not in the catalogue"] == 2
    assert run(str(logs), None, tmp_path / "events3", tmp_path / "own", layout="kuairec")["kept"] == 4


def test_a_video_file_that_cannot_be_read_leaves_its_video_in_use(tmp_path: Path) -> None:
    logs = tmp_path / "microlens"
    logs.mkdir()
    (logs / "x_pairs.csv").write_text("user,item,timestamp\n1,7,5\n")
    (logs / "7.mp4").write_text("no video")
    run(str(logs), None, tmp_path / "events", tmp_path / "own")
    own = Catalog.read(tmp_path / "own")
    assert own["7"].uri == ""
    assert own.rejected[0].reason.startswith("used without its file 7.mp4: not readable as video")


@pytest.mark.parametrize(
    ("rows", "share", "error", "reason"),
    [
        ("b,u,gone,r,20,watch,5\n", 1.0, TooManyRejected, "1 of 1 events were rejected"),
        (
            "b,u,gone,r,20,watch,5\nc,u,v,r,20,watch,5\n",
            0.4,
            TooManyRejected,
            "1 of 2 .* share of 0.4.*'gone'",
        ),
        ("", 0.5, TooManyRejected, "no row"),
        ("b,u\n", 0.5, InvalidRecord, "log.csv: row 1 has 2 cells, not 7"),
        ("b,u,v,r,20,watch,5\n", 1.5, InvalidSetting, "max_rejected_share=1.5"),
    ],
)
def test_logs_that_are_mostly_bad_fail_and_leave_nothing(
    tmp_path: Path, catalog: Path, rows: str, share: float, error: type[Exception], reason: str
) -> None:
    log = tmp_path / "log.csv"
    log.write_text(HEADER + rows)
    with pytest.raises(error, match=reason):
        run(str(log), catalog, tmp_path / "events", max_rejected_share=share)
    assert not (tmp_path / "events").exists()


def test_a_wrong_source_or_layout_is_named(tmp_path: Path, catalog: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"source '.*nowhere' is neither a file nor a folder"):
        run(str(tmp_path / "nowhere"), catalog, tmp_path / "events")
    log = tmp_path / "log.csv"
    log.write_text(HEADER)
    with pytest.raises(InvalidSetting, match=r"layout 'kuairand' does not fit 'log\.csv'"):
        run(str(log), catalog, tmp_path / "events", layout="kuairand")
    with pytest.raises(InvalidSetting, match="layout 'events' does not fit 'catalog'"):
        run(str(catalog), catalog, tmp_path / "events", layout="events")
