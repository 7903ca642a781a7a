"""The preprocess steps against a real store: every odd file beside good ones, and nothing is done twice."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from components import media_shards
from components.errors import TooManyRejected
from components.preprocess_audio import step as audio
from components.preprocess_text import step as text
from components.preprocess_video import step as video
from interest.catalog import Catalog, read_jsonl
from interest.errors import InvalidSetting, InvalidVideo
from interest.features.frames import FrameSettings, read_frames
from interest.features.shards import SHARDS, FeatureSet, Shard
from interest.records import Rejected, Video
from tests.clips import Clip, make, real_clip, tone
from wire.objects import ObjectStore
from wire.workers import Decoders

pytestmark = pytest.mark.usefixtures("in_object_store_env")
GOOD = ("real", "silent", "heard", "sound_only", "no_file")
BAD = ("text", "empty", "gone")


@pytest.fixture
def store(in_object_store_env: ObjectStore) -> ObjectStore:
    return in_object_store_env


def put(store: ObjectStore, path: Path) -> str:
    key = f"videos/{hashlib.sha256(path.read_bytes()).hexdigest()}"
    store.put_file(key, path)
    return store.uri(key)


@pytest.fixture
def catalog(tmp_path: Path, store: ObjectStore) -> Path:
    """Good and bad videos in the store; `silent` as a plain path."""
    letter, empty = tmp_path / "letter.mp4", tmp_path / "empty.mp4"
    letter.write_text(f"no video {tmp_path}")
    empty.write_bytes(b"")
    uris = {
        "real": put(store, real_clip("bigbuckbunny")),
        "text": put(store, letter),
        "silent": str(real_clip("carphone_distorted")),
        "empty": put(store, empty),
        "heard": put(store, make(tmp_path / "heard.mp4", Clip(sound=tone(440)))),
        "gone": store.uri("videos/" + "0" * 64),
        "sound_only": put(store, make(tmp_path / "only.m4a", Clip(sound=tone(440), video=False))),
        "no_file": "",
    }
    captions = {"real": "a big rabbit", "heard": "  "}
    videos = (
        Video(video_id=name, uri=uri, caption=captions.get(name, name), duration_s=2.0) for name, uri in uris.items()
    )
    Catalog(tuple(videos)).write(tmp_path / "catalog")
    return tmp_path / "catalog"


def load(store: ObjectStore, folder: Path) -> FeatureSet:
    for shard in read_jsonl(folder / SHARDS, Shard):
        store.get_blob(shard.blob, folder / f"{shard.blob}.safetensors")
    return FeatureSet(folder, folder)


def reasons(folder: Path) -> dict[str, str]:
    return {r.item: r.reason for r in read_jsonl(folder / "rejected.jsonl", Rejected)}


def has(features: FeatureSet, name: str, ids: tuple[str, ...]) -> list[int]:
    return features.read(name, features.rows(ids)).tolist()


def test_bad_files_land_in_the_list_and_the_others_in_shards(catalog: Path, store: ObjectStore, tmp_path: Path):
    assert video.run(catalog, tmp_path / "v") == {"videos": 7, "rejected": 3}
    assert audio.run(catalog, tmp_path / "a") == {"videos": 7, "rejected": 3}
    assert text.run(catalog, tmp_path / "t") == {"videos": 8, "rejected": 0}
    for folder in (tmp_path / "v", tmp_path / "a"):
        assert sorted(reasons(folder)) == sorted(BAD)
        assert "no such object" in reasons(folder)["gone"] and "0 bytes" in reasons(folder)["empty"]
    frames, sounds, captions = (load(store, tmp_path / name) for name in "vat")
    assert has(frames, "has_video", GOOD + BAD) == [1, 1, 1, 0, 0, 0, 0, 0]
    assert has(sounds, "has_audio", GOOD + BAD) == [1, 0, 1, 1, 0, 0, 0, 0]
    assert has(captions, "has_text", ("real", "heard", "gone")) == [1, 0, 1]
    expected = read_frames(real_clip("bigbuckbunny"), FrameSettings())
    np.testing.assert_array_equal(frames.frames(frames.rows(["real"]))[0], expected)
    assert np.isfinite(sounds.read("mfcc", range(7))).all()


def test_a_shard_is_not_made_twice(catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    video.run(catalog, tmp_path / "first")
    monkeypatch.setattr(media_shards, "_fetch", lambda *_: pytest.fail("fetched again"))
    video.run(catalog, tmp_path / "second")
    for name in (SHARDS, "rejected.jsonl"):
        assert (tmp_path / "second" / name).read_bytes() == (tmp_path / "first" / name).read_bytes()


def test_too_many_bad_files_fail_the_step_and_leave_nothing(catalog: Path, tmp_path: Path):
    with pytest.raises(TooManyRejected, match=r"3 of 8 videos.*max_failed_share=0.2"):
        video.run(catalog, tmp_path / "v", max_failed_share=0.2)
    assert not (tmp_path / "v").exists()
    with pytest.raises(InvalidSetting, match="max_failed_share=2"):
        text.run(catalog, tmp_path / "t", max_failed_share=2)


def test_more_videos_than_a_shard_keep_their_order(store: ObjectStore, tmp_path: Path):
    ids = [f"v{n}" for n in range(130)]
    videos = (Video(video_id=i, uri="", caption=f"caption {i}", duration_s=1.0) for i in ids)
    Catalog(tuple(videos)).write(tmp_path / "catalog")
    text.run(tmp_path / "catalog", tmp_path / "t")
    features = load(store, tmp_path / "t")
    assert [len(shard.video_ids) for shard in features.shards] == [64, 64, 2]
    assert list(features.video_ids) == ids


def die_of_it(path: Path) -> int:
    """Stands for a decoder that crashes."""
    if path.name == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    return len(path.name)


def test_a_crash_costs_only_the_file_it_came_from():
    with Decoders(2) as decoders:
        answers = decoders.read(die_of_it, [Path("a"), Path("deadly"), Path("ccc"), Path("dddd")])
        assert [a if isinstance(a, int) else type(a) for a in answers] == [1, InvalidVideo, 3, 4]
        assert decoders.read(die_of_it, [Path("a")]) == [1]


def test_a_process_is_there_before_there_is_something_to_decode():
    before = multiprocessing.active_children()
    with Decoders(1) as decoders:
        decoders.warm(die_of_it)
        (process,) = set(multiprocessing.active_children()) - set(before)
        assert decoders.read(pid_of, [Path("a")]) == [process.pid]


def pid_of(path: Path) -> int:
    """Who decodes."""
    return os.getpid()


def test_the_program_that_has_files_decoded_is_not_run_again(tmp_path: Path):
    """A page of the dashboard is one, which Streamlit runs as `__main__`."""
    program = tmp_path / "program.py"
    program.write_text(
        "from pathlib import Path; from wire.workers import Decoders; print('runs')\n"
        "with Decoders(1) as decoders: print(decoders.read(Path.exists, [Path(__file__)]))"
    )
    told = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["runs", "[True]"]
