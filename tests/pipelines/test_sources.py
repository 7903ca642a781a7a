"""Users' files count by their content, and reach a cluster by the store."""

from pathlib import Path

import pytest

from pipelines.errors import InvalidArgument
from pipelines.sources import uploaded, with_digests
from wire.objects import ObjectStore


def test_the_digest_is_of_the_list_and_the_files_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    listed, video = tmp_path / "films.csv", tmp_path / "a.mp4"
    listed.write_text("path,caption\na.mp4,One\n")
    video.write_bytes(b"one")
    digests = []
    for caption, content in (("One", b"one"), ("One", b"two"), ("Two", b"two"), ("One", b"one")):
        listed.write_text(f"path,caption\na.mp4,{caption}\n")
        video.write_bytes(content)
        given = with_digests({"videos": "films.csv", "seed": 3})
        assert given["videos"] == str(listed) and given["seed"] == 3
        digests.append(given["videos_digest"])

    assert len(set(digests)) == 3
    assert digests[0] == digests[3]


def test_a_list_may_name_a_file_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "films.csv").write_text("path,caption\ngone.mp4,One\n")
    assert with_digests({"videos": str(tmp_path / "films.csv")})["videos_digest"]


def test_a_folder_of_logs_counts_whole(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("1")
    one = with_digests({"source": str(tmp_path)})
    (tmp_path / "more.csv").write_text("2")
    assert one["source_digest"] != with_digests({"source": str(tmp_path)})["source_digest"]


def test_addresses_and_nothing_stay_as_they_are() -> None:
    given = {"videos": "", "source": "s3://rapt/logs", "seed": 1}
    assert with_digests(given) == given


def test_files_for_a_cluster_lie_in_the_store_under_their_content(object_store: ObjectStore, tmp_path: Path) -> None:
    logs, listed = tmp_path / "logs", tmp_path / "films.csv"
    (logs / "data").mkdir(parents=True)
    (logs / "data" / "log.csv").write_text("1,2")
    listed.write_text("url,caption\nhttp://films.example/a.mp4,One\n")

    given = uploaded({"source": str(logs), "videos": str(listed)}, object_store)

    assert object_store.get_bytes(object_store.key(f"{given['source']}/data/log.csv")) == b"1,2"
    assert object_store.get_bytes(object_store.key(given["videos"])) == listed.read_bytes()
    assert given["source_digest"] in given["source"] and given["videos_digest"] in given["videos"]
    assert uploaded({"source": str(logs), "videos": str(listed)}, object_store) == given


def test_a_list_for_a_cluster_may_not_name_local_files(object_store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "films.csv").write_text("path,caption\na.mp4,One\n")
    with pytest.raises(InvalidArgument, match=r"names files of this machine \(a\.mp4\).*give their url"):
        uploaded({"videos": str(tmp_path / "films.csv")}, object_store)
