"""Bad videos and bad logs beside good ones, through the command: the run ends, and each bad item is named."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from tests.clips import Clip, make, real_clip, tone
from tests.e2e.command import Rapt

TINY = ("--epochs", "1", "--content-epochs", "1", "--threads", "1", "--param", "bootstrap_resamples=10")
START_MS = 1_750_000_000_000


def rejected(run: dict[str, Any], step: str, artifact: str) -> dict[str, str]:
    """What a step of a run set aside: item → reason."""
    outputs = next(one["artifacts"] for one in run["steps"] if one["name"] == step)
    lines = (Path(outputs[artifact]) / "rejected.jsonl").read_text().splitlines()
    return {line["item"]: line["reason"] for line in map(json.loads, lines)}


def unreadable(why: str) -> str:
    return f"InvalidVideo: not readable as video ({why}); give a whole video file"


def judged(run: dict[str, Any]) -> None:
    """There is a model, and a verdict on it."""
    assert run["status"] == "succeeded"
    assert run["model"]
    assert run["published"] or run["held_for"]


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """A list of clips of every kind, good, odd and bad."""
    sound = tone(440)
    good = make(tmp_path / "good.mp4", Clip(sound=sound))
    (tmp_path / "truncated.mp4").write_bytes(good.read_bytes()[:3000])
    (tmp_path / "zero.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("once upon a time " * 100)
    make(tmp_path / "silent.mp4", Clip(colours=((1, 99, 1),)))
    make(tmp_path / "unseen.mp4", Clip(video=False, sound=sound))
    make(tmp_path / "one-frame.mp4", Clip(duration_s=0.04))
    make(tmp_path / "4k.mp4", Clip(width=3840, height=2160, duration_s=0.2))
    make(tmp_path / "turned.mp4", Clip(rotation=90, width=128))
    make(tmp_path / "uneven.mp4", Clip(stamps_s=(0.0, 0.1, 0.5, 0.55, 1.9)))
    shutil.copy(real_clip("bikes"), tmp_path / "bikes.mp4")
    rows = [(name, f"{name}.mp4", f"a clip, {name}") for name in (
        "good", "truncated", "zero", "text", "silent", "unseen", "one-frame", "4k", "turned", "uneven", "bikes",
    )]  # fmt: skip
    rows += [
        ("long-caption", "good.mp4", "word " * 20_000),
        ("right-to-left", "good.mp4", "שלום עולם مرحبا بالعالم"),
        ("emoji", "good.mp4", "👩‍🚀🔥 \u202e reversed"),
        ("good", "silent.mp4", "an id that was there before"),
        ("missing", "no-such.mp4", "a file that is not there"),
        ("both", "", "neither address nor path"),
    ]
    with (tmp_path / "videos.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("video_id", "path", "caption"), *rows])
    return tmp_path / "videos.csv"


@pytest.mark.slow
def test_bad_videos_are_named_and_the_others_learned_from(rapt: Rapt, videos: Path) -> None:
    world = ("--world-videos", "40", "--viewers", "60", "--events-per-viewer", "30")
    done = rapt("pipeline", "run", "training", "--videos", str(videos), *world, *TINY, "--json")
    assert done.returncode == 0, done.stderr

    run = json.loads(done.stdout)
    judged(run)
    reasons = rejected(run, "download", "catalog")
    assert reasons == {
        "row 2: truncated.mp4": unreadable("Invalid data found when processing input"),
        "row 3: zero.mp4": "InvalidVideo: the file is empty; fetch or export it again",
        "row 4: text.mp4": unreadable("Invalid data found when processing input"),
        "row 15": "column video_id: 'good' is that of row 1 too",
        "row 16: no-such.mp4": "InvalidRecord: column path: 'no-such.mp4' is no file; "
        "paths are relative to the list's folder",
        "row 17": "columns url and path: give exactly one of them",
    }
    left_out = [line for line in done.stderr.splitlines() if line.startswith("left out: ")]
    assert left_out == [
        "left out: row 15: column video_id: 'good' is that of row 1 too",
        "left out: row 17: columns url and path: give exactly one of them",
        "left out: row 16: no-such.mp4: no such file; paths are relative to videos.csv",
    ]
    results = {one["name"]: one["result"] for one in run["steps"]}
    assert results["download"] == {"videos": 11, "rejected": 6, "received_bytes": 0}
    for step in ("preprocess_video", "preprocess_audio", "preprocess_text"):
        assert results[step] == {"videos": 51, "rejected": 0}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("caption,title\na,b\n", "videos.csv lacks a column url or path; its columns are caption, title"),
        ("path,caption\nno-such.mp4,a\n", "no row can be used; first row 1: no-such.mp4: no such file"),
        ("", "videos.csv is empty"),
    ],
)
def test_a_list_that_is_none_is_refused_before_anything_starts(
    rapt: Rapt, tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "videos.csv").write_text(text)
    done = rapt("pipeline", "run", "training", "--videos", str(tmp_path / "videos.csv"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert told in done.stderr
    assert not (rapt.home / "runs").exists()


@pytest.fixture
def own(tmp_path: Path) -> dict[str, pa.Table]:
    """24 clips in a list, and the log of 40 viewers who were shown them: `events` in order."""
    folder = tmp_path / "own"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for row in range(24):
        colour = tuple(int(level) for level in rng.integers(0, 255, 3))
        make(folder / f"v{row}.mp4", Clip(colours=(colour,), duration_s=1.0, fps=12, sound=tone(100 + 50 * row)))
    lines = [f"v{row}.mp4,v{row},clip number {row}" for row in range(24)]
    (folder / "videos.csv").write_text("\n".join(["path,video_id,caption", *lines]))
    rows = []
    for user in range(40):
        for step in range(40):
            shown = {"user_id": f"u{user}", "video_id": f"v{rng.integers(24)}", "request_id": f"r{user}-{step}"}
            ts_ms = START_MS + step * 3_600_000 + user * 1000
            rows.append({**shown, "event_id": f"i{user}-{step}", "ts_ms": ts_ms, "kind": "impression", "watch_ms": 0})
            watched = int(rng.integers(100, 1500))
            rows.append(
                {**shown, "event_id": f"w{user}-{step}", "ts_ms": ts_ms + 500, "kind": "watch", "watch_ms": watched}
            )
    return {"events": pa.Table.from_pylist(rows)}


@pytest.mark.slow
def test_bad_events_are_named_and_the_others_learned_from(rapt: Rapt, own: dict[str, pa.Table], tmp_path: Path) -> None:
    events = own["events"]
    last = events.slice(len(events) - 1).to_pylist()[0]
    bad = [
        {**last, "event_id": "stranger", "video_id": "no-such-video"},
        {**last, "event_id": "i0-0"},
        {**last, "event_id": "back", "kind": "impression", "ts_ms": START_MS},
        {**last, "event_id": "seconds", "ts_ms": -5},
        {**last, "event_id": "kindless", "kind": "stared at"},
    ]
    mixed = pa.concat_tables(
        [events.take(np.random.default_rng(1).permutation(len(events))), pa.Table.from_pylist(bad)]
    )
    path = tmp_path / "events.csv"
    pacsv.write_csv(mixed, path)

    done = rapt("pipeline", "run", "training_from_logs", "--videos", str(tmp_path / "own" / "videos.csv"),
                "--events", str(path), *TINY, "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    judged(run)
    first = len(events) + 1
    assert rejected(run, "import_user_logs", "events") == {
        "stranger": f"column 'video_id' row {first}: 'no-such-video' is not in the catalogue",
        "i0-0": f"column 'event_id' row {first + 1}: 'i0-0' repeats an event_id: the earliest row stays",
        "seconds": f"column 'ts_ms' row {first + 3}: '-5' is no time in milliseconds since 1970",
        "kindless": f"column 'kind' row {first + 4}: 'stared at' is none of impression, watch, like, share, skip",
    }
    counts = next(one["result"] for one in run["steps"] if one["name"] == "import_user_logs")
    assert (counts["rows"], counts["kept"], counts["rejected"]) == (len(events) + 5, len(events) + 1, 4)
    assert counts["out_of_order"] > len(events) / 2


def test_a_log_that_lacks_a_column_is_refused_before_anything_starts(
    rapt: Rapt, own: dict[str, pa.Table], tmp_path: Path
) -> None:
    path = tmp_path / "events.csv"
    pacsv.write_csv(own["events"].drop_columns(["kind"]), path)
    done = rapt("pipeline", "run", "training_from_logs", "--videos", str(tmp_path / "own" / "videos.csv"),
                "--events", str(path))  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "kind" in done.stderr
    assert not (rapt.home / "runs").exists()
