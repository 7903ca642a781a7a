"""A model as a folder that cannot lie: every file's sha256 in `manifest.json`, and the manifest's own as its name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from interest.errors import InvalidBundle

FORMAT = "rapt.bundle/3"
MANIFEST = "manifest.json"
GRAPHS = ("viewer_encoder", "item_encoder", "scorer", "content_video", "content_audio", "content_text")
REQUIRED = (
    *(f"{graph}.onnx" for graph in GRAPHS),
    "weights.safetensors",
    *(f"{table}.{kind}" for table in ("catalogue", "viewers") for kind in ("safetensors", "json")),
)


@dataclass(frozen=True)
class CatalogueTable:
    """What the model knows of each video: `content` [V, M, C], `duration_s` [V]; `missing` [M, C] stands in."""

    video_ids: tuple[str, ...]
    content: NDArray[np.float32]
    duration_s: NDArray[np.float64]
    missing: NDArray[np.float32]


@dataclass(frozen=True)
class ViewerTable:
    """The viewers of the training log as vectors: `taste` [U, D] and `bias` [U]; for looking at, not for scoring."""

    user_ids: tuple[str, ...]
    taste: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True)
class Bundle:
    """A verified bundle on disk; `manifest` holds settings, feature schema, metrics and the data's digest."""

    folder: Path
    digest: str
    manifest: Mapping[str, Any]

    def graph(self, name: str) -> Path:
        """Path of one of `GRAPHS`."""
        return self.folder / f"{name}.onnx"

    def catalogue(self) -> CatalogueTable:
        """The catalogue's content embeddings as of training."""
        arrays = load_file(self.folder / "catalogue.safetensors")
        ids = tuple(json.loads((self.folder / "catalogue.json").read_text()))
        if len(ids) != len(arrays["content"]):
            raise InvalidBundle(f"{self.folder.name}: {len(ids)} video ids for {len(arrays['content'])} embeddings")
        return CatalogueTable(ids, arrays["content"], arrays["duration_s"], arrays["missing"])

    def examination(self, position: NDArray[np.integer]) -> NDArray[np.float64]:
        """How much less a video is looked at in a position than in the first: e(position) of the model, 1 at 1."""
        with safe_open(self.folder / "weights.safetensors", "np") as weights:
            first, second = np.log1p(np.exp(weights.get_tensor("fusion.look").astype(np.float64)))
        place = np.maximum(position, 1).astype(np.float64)
        return np.asarray(np.exp(-(first * np.log(place) + second * (1.0 - 1.0 / place))))

    def viewers(self) -> ViewerTable:
        """The viewers' embeddings as of training."""
        arrays = load_file(self.folder / "viewers.safetensors")
        ids = tuple(json.loads((self.folder / "viewers.json").read_text()))
        return ViewerTable(ids, arrays["taste"], arrays["bias"])


def write_viewers(folder: Path, table: ViewerTable) -> None:
    """Write the two viewer files."""
    save_file({"taste": table.taste, "bias": table.bias}, folder / "viewers.safetensors")
    (folder / "viewers.json").write_text(json.dumps(table.user_ids))


def write_catalogue(folder: Path, table: CatalogueTable) -> None:
    """Write the two catalogue files."""
    arrays: dict[str, NDArray[Any]] = {
        "content": table.content,
        "duration_s": table.duration_s,
        "missing": table.missing,
    }
    save_file(arrays, folder / "catalogue.safetensors")
    (folder / "catalogue.json").write_text(json.dumps(table.video_ids))


def seal(folder: Path, about: Mapping[str, Any]) -> str:
    """Write the manifest over all files in `folder`, with `about` in it, and return the bundle's digest."""
    missing = [name for name in REQUIRED if not (folder / name).is_file()]
    if missing:
        raise InvalidBundle(f"{folder.name} lacks {', '.join(missing)}; a bundle needs them all")
    files = {
        path.relative_to(folder).as_posix(): {"sha256": _sha256(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    manifest = {**about, "format": FORMAT, "files": files}
    text = json.dumps(manifest, sort_keys=True, indent=1)
    (folder / MANIFEST).write_text(text)
    return hashlib.sha256(text.encode()).hexdigest()


def open_bundle(folder: Path, digest: str | None = None) -> Bundle:
    """Read a bundle and check every byte of it; raises `InvalidBundle` saying which file is wrong and how.

    With `digest`, the manifest itself must be the one of that name.
    """
    manifest, found = read_manifest(folder)
    if digest is not None and found != digest:
        raise InvalidBundle(
            f"manifest of {digest[:12]} has sha256 {found[:12]}; fetch the bundle again, do not serve it"
        )
    listed = manifest["files"]
    for name in REQUIRED:
        if name not in listed:
            raise InvalidBundle(f"bundle {found[:12]} does not list {name}; it was made for another version")
    for name, entry in listed.items():
        check_file(folder, name, entry)
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {MANIFEST}
    if strangers := sorted(present - set(listed)):
        raise InvalidBundle(f"bundle {found[:12]} holds {strangers[0]}, which its manifest does not list")
    return Bundle(folder, found, manifest)


def read_manifest(folder: Path) -> tuple[dict[str, Any], str]:
    """The manifest and its sha256, before any file is looked at."""
    try:
        text = (folder / MANIFEST).read_bytes()
        manifest = json.loads(text)
        known = manifest["format"] == FORMAT and isinstance(manifest["files"], dict)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidBundle(f"{folder.name} has no readable {MANIFEST} ({error}); it is no bundle") from error
    if not known:
        raise InvalidBundle(f"{folder.name} has format {manifest['format']!r}; this version reads {FORMAT!r}")
    return manifest, hashlib.sha256(text).hexdigest()


def check_file(folder: Path, name: str, entry: Mapping[str, Any]) -> None:
    """One listed file is inside the folder, there, whole and untouched, or `InvalidBundle` says what it is not."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InvalidBundle(f"the manifest names {name!r}, outside of the bundle; refuse it")
    if not path.is_file():
        raise InvalidBundle(f"{name} is missing from the bundle; fetch it again")
    if path.stat().st_size != entry["bytes"]:
        raise InvalidBundle(f"{name} has {path.stat().st_size} bytes, the manifest says {entry['bytes']}: truncated")
    if _sha256(path) != entry["sha256"]:
        raise InvalidBundle(f"{name} is not what the manifest says (sha256 differs): tampered with or damaged")


def weights(bundle: Bundle) -> dict[str, NDArray[np.generic]]:
    """The torch weights by name, as arrays."""
    try:
        arrays: dict[str, NDArray[np.generic]] = load_file(bundle.folder / "weights.safetensors")
    except SafetensorError as error:
        raise InvalidBundle(f"weights.safetensors of {bundle.digest[:12]} cannot be read: {error}") from error
    return arrays


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
