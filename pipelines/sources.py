"""Users' files that a pipeline is given by name: their content, for the cache, and their way to a cluster."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.download.table import read_items
from components.runtime import file_digest, tree_digest
from pipelines.errors import InvalidArgument
from wire.objects import ObjectStore

NAMED = ("videos", "source")
"""Parameters that name files; each has a `<name>_digest` beside it."""


def with_digests(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with local paths made absolute and the digest of what they name; `s3://` stays as it is.

    A list of videos counts with the local files that it names. Raises InvalidArgument for a missing file.
    """
    done = dict(arguments)
    for name in NAMED:
        value = str(done.get(name, ""))
        if value and not value.startswith("s3://"):
            path = _present(name, value)
            done |= {
                name: str(path),
                f"{name}_digest": _list_digest(path) if name == "videos" else tree_digest(path),
            }
    return done


def uploaded(arguments: Mapping[str, Any], store: ObjectStore) -> dict[str, Any]:
    """The arguments with local files put into `store` under their content's name, where a cluster finds them.

    Raises InvalidArgument for a missing file and for a list that names local videos.
    """
    done = dict(arguments)
    for name in NAMED:
        value = str(done.get(name, ""))
        if value and not value.startswith("s3://"):
            path = _present(name, value)
            if name == "videos" and (local := [item for item in read_items(path)[0] if item.path]):
                raise InvalidArgument(
                    f"{name}={value!r} names files of this machine ({local[0].path}), which a cluster cannot "
                    "read; put them on a web server and give their url"
                )
            digest = tree_digest(path)
            done |= {name: store.uri(_upload(store, path, digest)), f"{name}_digest": digest}
    return done


def _upload(store: ObjectStore, path: Path, digest: str) -> str:
    """Put a file or folder into the store once; returns its key."""
    root = f"inputs/{digest}/{path.name}"
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        key = root if file == path else f"{root}/{file.relative_to(path).as_posix()}"
        if not store.exists(key):
            store.put_file(key, file)
    return root


def _present(name: str, value: str) -> Path:
    path = Path(value).expanduser().absolute()
    if not path.exists():
        raise InvalidArgument(f"{name}={value!r} names no file here; check the path, or give an s3:// address")
    return path


def _list_digest(path: Path) -> str:
    """Of the list and of the local videos that it names, those that are there."""
    items, _ = read_items(path)
    files = (path.parent / item.path for item in items if item.path)
    parts = [file_digest(path), *(file_digest(file) for file in files if file.is_file())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
