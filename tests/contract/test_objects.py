"""What any S3 store must do for us.

RAPT_TEST_S3_ENDPOINT, with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, runs the same on another, e.g. MinIO.
"""

import hashlib
import os
import secrets
from pathlib import Path

import pytest

from wire.errors import AccessDenied, InvalidObjectName, ObjectCorrupt, ObjectNotFound
from wire.objects import PART_BYTES, ObjectStore


@pytest.fixture(scope="session")
def s3_env(request: pytest.FixtureRequest) -> dict[str, str]:
    """Where the store under test is."""
    endpoint = os.environ.get("RAPT_TEST_S3_ENDPOINT")
    if endpoint:
        return {**os.environ, "RAPT_S3_ENDPOINT": endpoint}
    env: dict[str, str] = request.getfixturevalue("object_store_env")
    return env


@pytest.fixture(scope="session")
def store(s3_env: dict[str, str]) -> ObjectStore:
    return ObjectStore.from_env(s3_env)


@pytest.fixture
def prefix() -> str:
    return f"contract/{secrets.token_hex(6)}/"


@pytest.mark.parametrize("size", [0, 1, 4096, 5_000_000])
def test_bytes_come_back_as_they_were_put(store: ObjectStore, prefix: str, size: int) -> None:
    data = os.urandom(size)
    store.put_bytes(prefix + "a", data)
    assert store.get_bytes(prefix + "a") == data


def test_a_second_put_replaces_the_first(store: ObjectStore, prefix: str) -> None:
    store.put_bytes(prefix + "a", b"first and longer")
    store.put_bytes(prefix + "a", b"second")
    assert store.get_bytes(prefix + "a") == b"second"


def test_versions_change_with_the_content(store: ObjectStore, prefix: str) -> None:
    store.put_bytes(prefix + "folder/a", b"one")
    store.put_bytes(prefix + "folder/b", b"two")
    before = store.versions(prefix + "folder")
    assert set(before) == {prefix + "folder/a", prefix + "folder/b"}
    store.put_bytes(prefix + "folder/b", b"six")
    after = store.versions(prefix + "folder/")
    assert {key for key in before if before[key] != after[key]} == {prefix + "folder/b"}
    assert store.versions(prefix + "folder/a") == {prefix + "folder/a": before[prefix + "folder/a"]}
    assert store.versions(prefix + "none") == {}


def test_a_file_of_several_parts_comes_back_whole(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(2 * PART_BYTES + 12345))
    store.put_file(prefix + "big", path)
    store.get_file(prefix + "big", tmp_path / "new folder" / "back")
    assert (tmp_path / "new folder" / "back").read_bytes() == path.read_bytes()
    assert [file.name for file in (tmp_path / "new folder").iterdir()] == ["back"]


@pytest.mark.parametrize("name", ["plain", "with space", "ünïcode/日本 🎬", "a+b&c=d?e#f%20", "deep/er/still"])
def test_any_name_is_a_key(store: ObjectStore, prefix: str, name: str) -> None:
    store.put_bytes(prefix + name, name.encode())
    assert store.get_bytes(prefix + name) == name.encode()
    assert list(store.list(prefix)) == [prefix + name]


def test_a_missing_object_is_named_and_leaves_no_file(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    assert not store.exists(prefix + "none")
    for get in (
        lambda: store.get_bytes(prefix + "none"),
        lambda: store.get_file(prefix + "none", tmp_path / "x"),
    ):
        with pytest.raises(ObjectNotFound, match=f"{prefix}none"):
            get()
    assert not list(tmp_path.iterdir())


def test_a_failed_download_keeps_the_file_that_was_there(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("old")
    with pytest.raises(ObjectNotFound):
        store.get_file(prefix + "none", tmp_path / "x")
    assert (tmp_path / "x").read_text() == "old"


def test_the_list_has_exactly_the_keys_under_the_prefix_in_order(store: ObjectStore, prefix: str) -> None:
    keys = [f"{prefix}in/{number:04d}" for number in range(25)]
    for key in reversed(keys):
        store.put_bytes(key, b"")
    store.put_bytes(f"{prefix}inner", b"")
    assert list(store.list(f"{prefix}in/")) == keys
    assert list(store.list(f"{prefix}in/001")) == keys[10:20]
    assert list(store.list(f"{prefix}none")) == []


def test_the_list_goes_on_over_pages(store: ObjectStore, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wire.objects.PAGE_KEYS", 4)
    keys = [f"{prefix}{number}/x" for number in range(10)]
    for key in keys:
        store.put_bytes(key, b"")
    assert list(store.list(prefix)) == keys


def test_a_deleted_object_is_gone_and_may_be_deleted_again(store: ObjectStore, prefix: str) -> None:
    store.put_bytes(prefix + "a", b"x")
    store.delete(prefix + "a")
    store.delete(prefix + "a")
    assert not store.exists(prefix + "a")
    assert list(store.list(prefix)) == []


def test_a_blob_is_stored_once_under_its_digest(store: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(secrets.token_bytes(1000))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert store.put_blob(path) == digest
    assert store.get_bytes(f"blobs/{digest}") == path.read_bytes()
    assert store.put_blob(path) == digest
    store.get_blob(digest, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


def test_a_damaged_blob_is_refused_and_leaves_no_file(store: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(secrets.token_bytes(1000))
    digest = store.put_blob(path)
    store.put_bytes(f"blobs/{digest}", secrets.token_bytes(1000))
    with pytest.raises(ObjectCorrupt, match=digest):
        store.get_blob(digest, tmp_path / "back")
    assert [file.name for file in tmp_path.iterdir()] == ["blob"]


def test_a_truncated_blob_is_mended_by_the_next_put(store: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(secrets.token_bytes(1000))
    digest = store.put_blob(path)
    store.put_bytes(f"blobs/{digest}", path.read_bytes()[:500])
    store.put_blob(path)
    store.get_blob(digest, tmp_path / "back")


@pytest.mark.parametrize("digest", ["", "abc", "../" + "a" * 61, "A" * 64])
def test_only_a_digest_names_a_blob(store: ObjectStore, tmp_path: Path, digest: str) -> None:
    with pytest.raises(InvalidObjectName, match="sha256"):
        store.get_blob(digest, tmp_path / "x")


def test_a_uri_names_a_key_of_this_bucket_only(store: ObjectStore) -> None:
    assert store.key(store.uri("videos/a b")) == "videos/a b"
    for uri in ("s3://other/videos/a", f"s3://{store.bucket}/", f"http://{store.bucket}/a", "videos/a"):
        with pytest.raises(InvalidObjectName):
            store.key(uri)


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
def test_wrong_credentials_are_refused_at_once(s3_env: dict[str, str], prefix: str, name: str) -> None:
    stranger = ObjectStore.from_env({**s3_env, name: "wrong" * 4})
    with pytest.raises(AccessDenied, match="AWS_SECRET_ACCESS_KEY"):
        stranger.put_bytes(prefix + "a", b"x")
    with pytest.raises(AccessDenied):
        stranger.exists(prefix + "a")


def test_the_bucket_is_made_by_the_first_write(s3_env: dict[str, str]) -> None:
    store = ObjectStore.from_env({**s3_env, "RAPT_S3_BUCKET": f"rapt-{secrets.token_hex(6)}"})
    store.ping()
    assert not store.exists("a")
    assert list(store.list("")) == []
    store.delete("a")
    store.put_bytes("a", b"x")
    assert list(store.list("")) == ["a"]
    store.delete("a")
