"""The model store: bundles under `models/<digest>/`, the data each learned from under `datasets/<digest>/`."""

from __future__ import annotations

import errno
import json
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from interest.bundle import MANIFEST, Bundle, open_bundle
from interest.catalog import VIDEOS, Catalog
from interest.errors import InvalidBundle
from wire.errors import ObjectNotFound
from wire.objects import ObjectStore

LATEST = "models/latest.json"


@dataclass(frozen=True)
class Published:
    """One model in the store."""

    digest: str
    published_at_ms: int
    metrics: dict[str, object]
    size_bytes: int


@dataclass(frozen=True)
class Serving:
    """The model that serves everybody, and since when; 0 when that is not known."""

    digest: str
    promoted_at_ms: int


def publish_bundle(
    store: ObjectStore, bundle: Path, digest: str, dataset: Path, *, published_at_ms: int, serve: bool = True
) -> None:
    """Upload a sealed bundle and its dataset; the manifest goes last, so that a bundle is seen whole or not at all.

    With `serve` it is the model for everybody from now on; else it waits to be a candidate in an experiment.
    """
    manifest = json.loads((bundle / MANIFEST).read_text())
    for file in sorted(p for p in dataset.rglob("*") if p.is_file()):
        store.put_file(f"datasets/{manifest['data']['dataset']}/{file.relative_to(dataset).as_posix()}", file)
    for name in manifest["files"]:
        store.put_file(f"models/{digest}/{name}", bundle / name)
    store.put_file(f"models/{digest}/{MANIFEST}", bundle / MANIFEST)
    pointer = {"digest": digest, "published_at_ms": published_at_ms}
    store.put_bytes(f"models/{digest}.json", json.dumps(pointer).encode())
    if serve:
        promote(store, digest)


def promote(store: ObjectStore, digest: str) -> None:
    """Have a published model serve everybody; raises `ObjectNotFound` when it is not published."""
    pointer = json.loads(store.get_bytes(f"models/{digest}.json"))
    store.put_bytes(LATEST, json.dumps({**pointer, "promoted_at_ms": time.time_ns() // 1_000_000}).encode())


def lacks(store: ObjectStore, digest: str) -> str:
    """Why nobody can be served with that model; empty when it is published."""
    return "" if store.exists(f"models/{digest}.json") else f"the store has no model {digest[:12]}: rapt models"


def serving(store: ObjectStore) -> Serving:
    """The model that serves everybody; raises `ObjectNotFound` when there is none."""
    pointer = json.loads(store.get_bytes(LATEST))
    return Serving(pointer["digest"], pointer.get("promoted_at_ms", 0))


def latest(store: ObjectStore) -> str:
    """Its digest; raises `ObjectNotFound` when there is none."""
    return serving(store).digest


def list_models(store: ObjectStore) -> list[Published]:
    """Every published model, the newest first."""
    found = []
    for key in store.list("models/"):
        if key == LATEST or not key.endswith(".json") or key.count("/") != 1:
            continue
        pointer = json.loads(store.get_bytes(key))
        manifest = json.loads(store.get_bytes(f"models/{pointer['digest']}/{MANIFEST}"))
        size_bytes = sum(file["bytes"] for file in manifest["files"].values())
        metrics = manifest.get("metrics", {})
        found.append(Published(pointer["digest"], pointer["published_at_ms"], metrics, size_bytes))
    return sorted(found, key=lambda model: -model.published_at_ms)


def resolve(store: ObjectStore, prefix: str) -> str:
    """The one published digest that begins with `prefix`; raises `InvalidBundle` when none or several do."""
    matches = [model.digest for model in list_models(store) if model.digest.startswith(prefix)]
    if len(matches) != 1:
        what = "no published model" if not matches else f"{len(matches)} published models"
        raise InvalidBundle(f"{what} begin with {prefix!r}; see them with: rapt models")
    return matches[0]


def fetch_bundle(store: ObjectStore, digest: str, cache: Path) -> Bundle:
    """A bundle on disk, every byte checked; a damaged copy in the cache is fetched once more."""
    folder = cache / "models" / digest
    if folder.exists():
        try:
            return open_bundle(folder, digest)
        except InvalidBundle:
            shutil.rmtree(folder)
    with _brought(store, f"models/{digest}/", folder) as partial:
        bundle = open_bundle(partial, digest)
    return Bundle(folder, bundle.digest, bundle.manifest)


def fetch_dataset(store: ObjectStore, digest: str, cache: Path) -> Path:
    """The dataset folder that a bundle's manifest names."""
    folder = cache / "datasets" / digest
    if not folder.exists():
        with _brought(store, f"datasets/{digest}/", folder):
            pass
    return folder


def catalog_of(store: ObjectStore, bundle: Bundle) -> Catalog:
    """The videos that a model learned from, without the rest of its dataset; empty when it came without its data."""
    dataset = bundle.manifest.get("data", {}).get("dataset")
    if not dataset:
        return Catalog(())
    with tempfile.TemporaryDirectory() as folder:
        try:
            store.get_file(f"datasets/{dataset}/{VIDEOS}", Path(folder) / VIDEOS)
        except ObjectNotFound:
            return Catalog(())
        return Catalog.read(Path(folder))


@contextmanager
def _brought(store: ObjectStore, prefix: str, folder: Path) -> Iterator[Path]:
    """Inside, what lies under `prefix` in a folder of this caller's own; afterwards it is `folder`.

    Several processes may bring the same at once: the first to be through is the one that counts.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f"{folder.name}.{secrets.token_hex(6)}.partial")
    try:
        _download(store, prefix, partial)
        yield partial
        try:
            partial.replace(folder)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _download(store: ObjectStore, prefix: str, folder: Path) -> None:
    keys = list(store.list(prefix))
    if not keys:
        raise ObjectNotFound(f"nothing lies under {store.uri(prefix)}; publish again, or see: rapt models")
    for key in keys:
        path = folder / key.removeprefix(prefix)
        path.parent.mkdir(parents=True, exist_ok=True)
        store.get_file(key, path)
