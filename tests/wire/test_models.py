"""Bundles and datasets brought from the store, by many at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from interest.bundle import read_manifest
from tests.rapt.published import publish
from wire.models import fetch_bundle, fetch_dataset
from wire.objects import ObjectStore

AT_ONCE = 6


def test_who_brings_the_same_bundle_at_once_gets_it_whole(object_store: ObjectStore, tmp_path: Path) -> None:
    digest = publish(object_store, tmp_path / "model", simulated=True)
    together = threading.Barrier(AT_ONCE)

    def bring(_: int) -> tuple[str, list[str]]:
        together.wait()
        bundle = fetch_bundle(object_store, digest, tmp_path / "cache")
        dataset = fetch_dataset(object_store, bundle.manifest["data"]["dataset"], tmp_path / "cache")
        return read_manifest(bundle.folder)[1], sorted(path.name for path in dataset.iterdir())

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(bring, range(AT_ONCE)))
    assert found == [(digest, ["latents.safetensors", "videos.jsonl"])] * AT_ONCE
    assert [path.name for path in (tmp_path / "cache" / "models").iterdir()] == [digest]


def test_a_damaged_copy_is_fetched_once_more(object_store: ObjectStore, tmp_path: Path) -> None:
    digest = publish(object_store, tmp_path / "model", simulated=True)
    bundle = fetch_bundle(object_store, digest, tmp_path / "cache")
    (bundle.folder / "weights.safetensors").write_bytes(b"else")
    again = fetch_bundle(object_store, digest, tmp_path / "cache")
    assert (again.folder / "weights.safetensors").read_bytes() == b"weights.safetensors"
