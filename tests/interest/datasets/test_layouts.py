"""The public layouts, read from tiny hand-made files in exactly their form."""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from interest.catalog import Catalog
from interest.datasets import events, layouts, tables
from interest.datasets.impressions import FIRST_MS, SPAN_MS
from interest.errors import InvalidRecord, InvalidSetting
from interest.records import Event, Kind, engaged

FIXTURES = Path(__file__).parent / "fixtures"


def read(name: str) -> tuple[Catalog, list[Event]]:
    catalog, table = layouts.find(FIXTURES / name).read(FIXTURES / name)
    return catalog, events.to_records(table)


def by_request(rows: list[Event]) -> dict[str, dict[Kind, Event]]:
    grouped: dict[str, dict[Kind, Event]] = defaultdict(dict)
    for row in rows:
        grouped[row.request_id][row.kind] = row
    return grouped


def outcome(rows: dict[Kind, Event], catalog: Catalog, *, only_watching: bool = False) -> bool:
    feedback = [
        (row.kind, row.watch_ms)
        for row in rows.values()
        if row.kind is not Kind.IMPRESSION and (row.kind is Kind.WATCH or not only_watching)
    ]
    return engaged(feedback, catalog[rows[Kind.IMPRESSION].video_id].duration_s)


@pytest.mark.parametrize("name", layouts.LAYOUTS)
def test_every_layout_is_recognised_and_gives_valid_events_on_its_own_catalogue(name: str) -> None:
    assert layouts.find(FIXTURES / name).name == name
    catalog, table = layouts.find(FIXTURES / name, name).read(FIXTURES / name)
    validated = events.validate_events(table, catalog)
    assert validated.rejected == ()
    assert validated.table.equals(table)
    assert all(row.duration_s > 0 for row in catalog)


def test_feedback_shares_request_and_video_with_its_impression_and_comes_later() -> None:
    for name in ("kuairand", "kuairec", "microlens"):
        for rows in by_request(read(name)[1]).values():
            shown = rows[Kind.IMPRESSION]
            for row in rows.values():
                assert (row.user_id, row.video_id) == (shown.user_id, shown.video_id)
                assert row.kind is Kind.IMPRESSION or row.ts_ms > shown.ts_ms


def test_engaged_agrees_with_the_long_view_of_kuairand() -> None:
    catalog, rows = read("kuairand")
    grouped = by_request(rows)
    logs = sorted((FIXTURES / "kuairand").rglob("log_*.csv"))
    public = [row for path in logs for row in tables.read_csv(path).to_pylist()]
    assert len(grouped) == len(public) == 7
    for number, row in enumerate(public):
        ours = grouped[f"kuairand-{number}"]
        assert outcome(ours, catalog, only_watching=True) == (row["long_view"] == "1")
        either = "1" in (row["long_view"], row["is_like"], row["is_forward"])
        assert outcome(ours, catalog) == either
        assert ours[Kind.IMPRESSION].randomised == (row["is_rand"] == "1")
        assert (Kind.SKIP in ours) == (row["is_hate"] == "1")


def test_kuairand_tells_length_day_and_tag_and_what_it_left_out() -> None:
    catalog, _ = read("kuairand")
    assert catalog["101"].duration_s == 104.4
    assert catalog["101"].topic == "12"
    assert catalog["101"].published_at_ms == 1648742400000  # 2022-04-01 00:00 in Beijing
    assert catalog["104"].topic is None
    assert [row.reason for row in catalog.rejected] == ["1 videos that no log row shows"]


def test_feedback_after_endless_watching_is_dated_within_ten_minutes(tmp_path: Path) -> None:
    path = tmp_path / "log_random.csv"
    text = (FIXTURES / "kuairand/data/log_random_4_22_to_5_08_pure.csv").read_text(encoding="utf-8")
    path.write_text(text.replace("151024", "7200000"), encoding="utf-8")
    rows = by_request(events.to_records(layouts.find(tmp_path).read(tmp_path)[1]))["kuairand-0"]
    assert rows[Kind.WATCH].watch_ms == 7_200_000
    assert rows[Kind.WATCH].ts_ms - rows[Kind.IMPRESSION].ts_ms == 600_000


def test_kuairec_drops_repeated_and_timeless_rows_and_says_so() -> None:
    catalog, rows = read("kuairec")
    assert len(by_request(rows)) == 4
    reasons = [row.reason for row in catalog.rejected]
    assert reasons == [
        "1 rows that repeat viewer, video and time",
        "1 rows without a timestamp",
        "2 rows torn apart, left without caption",
    ]
    assert {row.user_id for row in rows if row.randomised} == {"14"}
    assert rows[0].ts_ms == 1593878903438
    assert (catalog["148"].caption, catalog["148"].topic) == ("精神小伙路难走 程哥你狗粮慢点撒", "颜值")
    assert (catalog["3649"].caption, catalog["9598"].topic) == ("", "8")
    ratio = {row.video_id: row.watch_ms / 1000 / catalog[row.video_id].duration_s for row in rows if row.watch_ms}
    assert ratio["148"] == pytest.approx(0.7221032, abs=1e-6)


def test_microlens_is_positive_only_and_finds_titles_and_videos() -> None:
    catalog, rows = read("microlens")
    assert all(outcome(group, catalog) for group in by_request(rows).values())
    assert catalog["7"].caption == "Cats, and more cats 🐈"
    assert Path(catalog["7"].uri).name == "7.mp4"
    assert catalog["12"].uri == ""
    assert "30" in catalog.index


def test_microlens_pairs_without_times_keep_their_order(tmp_path: Path) -> None:
    shutil.copy(FIXTURES / "microlens" / "MicroLens-50k_pairs.tsv", tmp_path)
    catalog, table = layouts.find(tmp_path).read(tmp_path)
    likes = [row for row in events.to_records(table) if row.kind is Kind.IMPRESSION]
    assert [(row.user_id, row.video_id) for row in likes] == [("1", "12"), ("2", "12"), ("1", "7")]
    assert [row.ts_ms - FIRST_MS for row in likes] == [SPAN_MS // 3, SPAN_MS // 2, 2 * SPAN_MS // 3]
    assert len(catalog) == 2


def test_mm_ctr_clicks_are_history_and_candidates_are_targets() -> None:
    catalog, rows = read("mm_ctr")
    grouped = by_request(rows)
    targets = [g for g in grouped.values() if Kind.IMPRESSION in g]
    labels = {(g[Kind.IMPRESSION].user_id, g[Kind.IMPRESSION].video_id): outcome(g, catalog) for g in targets}
    assert labels == {
        ("7", "4"): True,
        ("7", "5"): False,
        ("9", "1"): False,
        ("9", "3"): True,
        ("11", "2"): False,
        ("7", "3"): False,
    }
    # Viewer 7 clicked 1, 2, 3, but 3 is one of its candidates: it would tell the label.
    history = [g[Kind.LIKE] for g in grouped.values() if Kind.IMPRESSION not in g]
    assert [row.video_id for row in sorted(history, key=lambda r: r.ts_ms) if row.user_id == "7"] == [
        "1",
        "2",
    ]
    first_target = min(g[Kind.IMPRESSION].ts_ms for g in targets if g[Kind.IMPRESSION].user_id == "7")
    assert all(row.ts_ms < first_target for row in history if row.user_id == "7")
    assert catalog["1"].caption == "Drums"
    assert "0" not in catalog.index
    assert [row.reason for row in catalog.rejected] == ["1 rows without a label"]


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "reason"),
    [
        ("kuairand", "log_random_4_22_to_5_08_pure.csv", "151024", "fast", "'play_time_ms' row 1: 'fast'"),
        ("kuairand", "log_random_4_22_to_5_08_pure.csv", "1650574800000", "-1", "'time_ms' row 2: '-1'"),
        ("kuairand", "log_random_4_22_to_5_08_pure.csv", "is_rand", "rand", "lacks the column 'is_rand'"),
        (
            "kuairand",
            "log_random_4_22_to_5_08_pure.csv",
            ",1,1\n",
            ",2,1\n",
            "'is_rand' row 1: 2 is neither 0",
        ),
        ("kuairand", "log_random_4_22_to_5_08_pure.csv", "1,102,", ",102,", "'user_id' row 2 is empty"),
        ("kuairec", "big_matrix.csv", ",120,", ",1.5,", "'play_duration' row 3: '1.5' is not a whole"),
        ("kuairec", "big_matrix.csv", "1593878903.438", "nan", "'timestamp' row 1: 'nan' is not a number"),
        ("kuairec", "kuairec_caption_category.csv", ",caption,", ",title,", "lacks the column 'caption'"),
        ("microlens", "MicroLens-50k_pairs.csv", "1583378629999", "", "'timestamp' row 2: None is not"),
        (
            "microlens",
            "MicroLens-50k_titles.csv",
            "12,Baking bread",
            "12",
            r"row 2: \['12'\] is not: item, title",
        ),
    ],
)
def test_a_bad_file_is_named_with_column_and_row(
    tmp_path: Path, name: str, file: str, old: str, new: str, reason: str
) -> None:
    shutil.copytree(FIXTURES / name, tmp_path / name)
    path = next((tmp_path / name).rglob(file))
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InvalidRecord, match=reason) as raised:
        layouts.find(tmp_path / name).read(tmp_path / name)
    assert file in str(raised.value)


def test_a_bad_parquet_file_of_mm_ctr_is_named(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "mm_ctr", tmp_path, dirs_exist_ok=True)
    path = tmp_path / "MicroLens_1M_x1" / "train.parquet"
    table = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(table.set_column(5, "label", pa.array([0, 1, None], pa.int64())), path)
    with pytest.raises(InvalidRecord, match=r"train.parquet column 'label' row 3: None is not a whole number"):
        layouts.find(tmp_path).read(tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InvalidRecord, match=r"train.parquet is not a readable parquet file"):
        layouts.find(tmp_path).read(tmp_path)


def test_a_folder_of_no_layout_or_of_two_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"holds no known layout: kuairand has log_"):
        layouts.find(tmp_path)
    (tmp_path / "log_a.csv").touch()
    (tmp_path / "big_matrix.csv").touch()
    with pytest.raises(InvalidSetting, match="fits kuairand and kuairec; name one"):
        layouts.find(tmp_path)
    with pytest.raises(InvalidSetting, match="layout 'tiktok' is unknown; choose auto, kuairand"):
        layouts.find(tmp_path, "tiktok")
