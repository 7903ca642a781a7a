"""The slab file: its limit, its one writer, adoption after a kill in the middle of a change, readers meanwhile."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from inference.state import StateUnavailable, open_reader, undo
from inference.state.apply import SlabWriter
from inference.state.errors import FeederRunning, StateTooSmall
from inference.state.index import Index
from inference.state.layout import FILE, Layout, Phase, Word, layout_within
from inference.state.slab import adopt, create, lock
from tests.faults.test_object_store import in_small_disk
from tests.inference.state.streams import BEGIN_MS, PARTITIONS, Topic, event, random_topic, writing

CAPACITY = 1000


def adopted(folder: Path) -> SlabWriter:
    slab = adopt(folder, Layout(CAPACITY))
    assert slab is not None
    undo.repair(slab, Index(slab))
    return SlabWriter(slab, PARTITIONS)


def test_the_file_is_never_over_the_limit(tmp_path: Path) -> None:
    layout = layout_within(16 << 20)
    topic = Topic()
    with writing(tmp_path, layout.capacity) as writer:
        for number in range(12_000):
            topic.add(event(f"u{number}", BEGIN_MS + number), BEGIN_MS + number)
        writer.apply(topic.records)
        assert writer.viewers == layout.capacity
        assert writer.evictions == 12_000 - layout.capacity
        assert 0.9 * (16 << 20) < (tmp_path / FILE).stat().st_blocks * 512 <= 16 << 20
        reader = open_reader(tmp_path)
        assert len(reader.read("u0").rows) == 0
        assert len(reader.read("u11999").rows) == 1


def test_a_viewer_takes_less_than_three_kilobytes() -> None:
    layout = layout_within(512 << 20)
    assert (512 << 20) / layout.capacity < 3000


def test_a_limit_that_holds_nobody_is_refused() -> None:
    with pytest.raises(StateTooSmall, match="RAPT_STATE_MEMORY_MIB"):
        layout_within(1 << 20)


def test_a_folder_has_one_feeder(tmp_path: Path) -> None:
    held = lock(tmp_path)
    with pytest.raises(FeederRunning, match=str(tmp_path)):
        lock(tmp_path)
    os.close(held)
    os.close(lock(tmp_path))


FILL = """
import sys
from pathlib import Path
from inference.state.errors import StateFolderFull
from inference.state.layout import layout_within
from tests.inference.state.streams import BEGIN_MS, Topic, event, writing
topic = Topic()
records = [topic.add(event(f"u{number}", BEGIN_MS + number), BEGIN_MS + number) for number in range(12_000)]
try:
    with writing(Path(sys.argv[1]), layout_within(int(sys.argv[2])).capacity) as writer:
        writer.apply(records)
        print(writer.slab.full, writer.viewers + writer.evictions, writer.viewers)
except StateFolderFull as error:
    print(error)
"""


def in_a_small_folder(folder: Path, disk_bytes: int, memory_bytes: int) -> str:
    command = [
        *in_small_disk(folder, disk_bytes),
        sys.executable,
        "-W",
        "ignore",
        "-c",
        FILL,
        str(folder),
        str(memory_bytes),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert not done.returncode, done.stderr
    return done.stdout


def test_a_slab_is_as_large_as_its_disk_and_evicts_then(tmp_path: Path) -> None:
    assert in_a_small_folder(tmp_path / "small", 16 << 20, 64 << 20) == "True 12000 4096\n"


def test_a_disk_with_no_room_at_all_is_told(tmp_path: Path) -> None:
    assert "RAPT_STATE_FOLDER" in in_a_small_folder(tmp_path / "full", 1 << 20, 64 << 20)


@pytest.mark.parametrize("stop_at", ["armed", "rows", "metas", "even"])
def test_a_change_that_a_kill_cuts_off_is_taken_back_by_the_next_feeder(
    tmp_path: Path, stop_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = random_topic(2, 1200, viewers=25, steady=0.5)
    users = [f"u{number}" for number in range(25)]

    class Killed(Exception):
        pass

    class Dies:
        """The rows or metas of a slab, of which only half arrives."""

        def __init__(self, real: np.ndarray) -> None:
            self.real = real

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

        def __setitem__(self, places: np.ndarray, values: np.ndarray) -> None:
            self.real[places[: len(places) // 2]] = values[: len(places) // 2]
            raise Killed

    with writing(tmp_path, CAPACITY) as writer:
        writer.apply(topic.records[:800])
        reader = open_reader(tmp_path)
        before = [reader.read(user) for user in users]
        slab = writer.slab
        if stop_at in {"armed", "even"}:
            name = {"armed": "arm", "even": "disarm"}[stop_at]
            real = getattr(undo, name)

            def killed(*arguments: object) -> None:
                if name == "arm":
                    real(*arguments)
                raise Killed

            monkeypatch.setattr(undo, name, killed)
        elif stop_at == "rows":
            slab.row_blobs = Dies(slab.row_blobs)  # type: ignore[assignment]
        else:
            slab.meta_blobs = Dies(slab.meta_blobs)  # type: ignore[assignment]
        with pytest.raises(Killed):
            writer.apply(topic.records[800:])
        monkeypatch.undo()
    again = adopted(tmp_path)
    after = [reader.read(user) for user in users]
    assert [one.rows.tobytes() for one in before] == [one.rows.tobytes() for one in after]
    assert again.viewers == sum(len(one.rows) > 0 for one in before)
    again.apply(topic.records[800:])
    (tmp_path / "other").mkdir()
    with writing(tmp_path / "other", CAPACITY) as whole:
        whole.apply(topic.records)
        for user in users:
            assert reader.read(user).rows.tobytes() == open_reader(tmp_path / "other").read(user).rows.tobytes()


def test_a_slot_that_stays_half_written_is_told_and_is_whole_after_adoption(tmp_path: Path) -> None:
    topic = Topic()
    with writing(tmp_path, CAPACITY) as writer:
        writer.apply([topic.add(event("u"))])
        writer.slab.metas["version"][0] |= 1
        with pytest.raises(StateUnavailable, match="half written"):
            open_reader(tmp_path).read("u")


def test_another_layout_or_another_boot_is_not_adopted(tmp_path: Path) -> None:
    with writing(tmp_path, CAPACITY) as writer:
        assert adopt(tmp_path, Layout(CAPACITY + 1)) is None
        writer.slab.words[Word.BOOT] += 1
        assert adopt(tmp_path, Layout(CAPACITY)) is None


def test_readers_find_the_next_slab_by_themselves(tmp_path: Path) -> None:
    reader = open_reader(tmp_path)
    with pytest.raises(StateUnavailable, match="feeder"):
        reader.read("u")
    assert not reader.freshness().alive
    topic = Topic()
    with writing(tmp_path) as writer:
        writer.apply([topic.add(event("u"))])
        assert len(reader.read("u").rows) == 1
    slab = create(tmp_path, Layout(10))
    with pytest.raises(StateUnavailable, match="restores"):
        reader.read("u")
    slab.words[Word.STATE] = Phase.SERVING
    assert len(reader.read("u").rows) == 0


def test_freshness_is_what_the_feeder_told_last(tmp_path: Path) -> None:
    now_ms = int(time.time() * 1000)
    with writing(tmp_path) as writer:
        writer.beat(now_ms, now_ms - 3000, 17, ready=True)
        fresh = open_reader(tmp_path).freshness()
        assert 3000 <= fresh.age_ms < 60_000
        assert (fresh.lag, fresh.viewers) == (17, 0)
        writer.beat(now_ms - 5000, now_ms - 5000, 0, ready=True)
        fresh = open_reader(tmp_path).freshness()
        assert not fresh.alive
        assert not fresh.ready


WRITE = """
import sys
from pathlib import Path
from tests.inference.state.streams import BEGIN_MS, Topic, event, writing
topic = Topic(1)
with writing(Path(sys.argv[1]), 8, 1) as writer:
    number = 0
    while True:
        for user in range(12):
            for _ in range(3):
                number += 1
                late = BEGIN_MS + number - (number % 7 == 0)
                topic.add(event(f"u{user}", late, f"e{number}", watch_ms=number, position=1 + number % 9), late)
        writer.apply(topic.records)
        topic.records.clear()
        if number == 36:
            print("writing", flush=True)
"""


def test_readers_never_see_a_half_written_viewer(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", WRITE, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        reader = open_reader(tmp_path)
        began, last = time.monotonic(), 0
        while last <= 1000 or time.monotonic() < began + 3:
            assert time.monotonic() < began + 60, f"only {last} events were seen"
            for user in range(12):
                state = reader.read(f"u{user}")
                rows = state.rows
                if not len(rows):
                    continue
                ts_ms, number = rows["ts_ms"], rows["watch_ms"].astype(np.int64)
                assert (np.diff(ts_ms) >= 0).all()
                assert (ts_ms == BEGIN_MS + number - (number % 7 == 0)).all()
                assert ((number - 1) // 3 % 12 == user).all()
                assert len(set(number.tolist())) == len(rows)
                last = max(last, state.offset)
        process.send_signal(signal.SIGKILL)
