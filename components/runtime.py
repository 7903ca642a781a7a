"""Running a step: the same work is never done twice, and what a killed run left half done is never taken for whole.

The key of a step is the content of its inputs, its parameters, and the code that it reaches
(components.code). Its outputs lie in the object store as blobs; the record that names them is written last.
"""

from __future__ import annotations

import errno
import hashlib
import importlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from components.code import code_digest
from components.errors import DiskFull, InputMissing, OutputMissing
from components.journal import Journal
from wire.errors import ObjectCorrupt, ObjectNotFound
from wire.objects import ObjectStore, blob_key

NO_CACHE = "RAPT_NO_CACHE"
CACHE_HOME = "RAPT_CACHE"

_current: ContextVar[tuple[str, str]] = ContextVar("step")
"""Code digest and key of the step that is running."""


def run_step(
    name: str,
    *,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    params: Mapping[str, Any],
    contents: Mapping[str, str] | None = None,
    fresh: bool = False,
) -> dict[str, Any]:
    """Run `components.<name>.step.run`, or bring back what it made of the same inputs, parameters and code.

    `inputs` and `outputs` map the argument names of `run` to paths; returns what `run` returned. `contents`
    are digests of what `params` only name: part of the key, not passed to `run`; those of `s3://` addresses
    are found here. `fresh`: what it makes depends on more than that, such as the time, and is never brought back. Heavy
    modules are imported only when the step really runs. Raises InputMissing, OutputMissing and DiskFull besides what
    `run` raises.
    """
    journal = Journal.of(name)
    journal.started()
    begun = time.monotonic()
    try:
        code = code_digest(f"components.{name}.step")
        digests = {a: tree_digest(Path(path), f"input {a!r} of {name}") for a, path in inputs.items()}
        store = ObjectStore.from_env()
        known = {**(contents or {}), **_versions(store, params)}
        key = _digest({"step": name, "code": code, "inputs": digests, "params": dict(params), **known})
        targets = {argument: Path(path) for argument, path in outputs.items()}
        result = None if fresh or os.environ.get(NO_CACHE) else _restore(store, key, targets)
        cached = result is not None
        if result is None:
            result = _run(name, code, key, {k: Path(v) for k, v in inputs.items()}, targets, params)
            if not fresh:
                _keep(store, key, targets, result)
            shutil.rmtree(scratch_of(key), ignore_errors=True)
    except BaseException as error:
        full = _disk_full(error, [*(Path(path).parent for path in outputs.values()), cache_home()])
        journal.failed(full or error)
        if full is not None:
            raise full from error
        raise
    journal.ended(cached=cached, seconds=time.monotonic() - begun, result=result, outputs=outputs)
    return result


def memo(store: ObjectStore, key_parts: Mapping[str, Any], compute: Callable[[Path], None]) -> str:
    """Digest of the blob that `compute` writes, made once for the same `key_parts` and code of the running step.

    Parts of a step that are kept this way are not done again when the step is killed and starts over.
    """
    code, _ = _current.get(("", ""))
    key = f"memo/{_digest({'code': code, 'parts': dict(key_parts)})}"
    if not os.environ.get(NO_CACHE):
        try:
            digest = store.get_bytes(key).decode()
            if store.exists(f"blobs/{digest}"):
                return digest
        except ObjectNotFound:
            pass
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made"
        compute(made)
        digest = store.put_blob(made)
    store.put_bytes(key, digest.encode())
    return digest


def scratch() -> Path:
    """A folder for the running step's checkpoints: the same one again when the step is killed and starts over."""
    _, key = _current.get(("", "unkeyed"))
    folder = scratch_of(key)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def scratch_of(key: str) -> Path:
    return cache_home() / "scratch" / key[:32]


def cache_home() -> Path:
    """Where caches lie: $RAPT_CACHE, or `rapt` in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rapt"
    return Path(os.environ.get(CACHE_HOME) or default)


def tree_digest(path: Path, what: str = "input") -> str:
    """sha256 over the names and contents of a file or folder; InputMissing, naming `what`, when there is none."""
    if path.is_file():
        return file_digest(path)
    if not path.is_dir():
        raise InputMissing(f"{what}: there is no file or folder {path}; run the step that makes it again")
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return _digest({file.relative_to(path).as_posix(): file_digest(file) for file in files})


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _versions(store: ObjectStore, params: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What lies at the `s3://` addresses among `params` now: whoever overwrites an object changes its version."""
    addresses = {name: value for name, value in params.items() if str(value).startswith("s3://")}
    return {f"{name}_versions": store.versions(store.key(value)) for name, value in addresses.items()}


def _run(
    name: str,
    code: str,
    key: str,
    inputs: dict[str, Path],
    targets: dict[str, Path],
    params: Mapping[str, Any],
) -> dict[str, Any]:
    partial = {argument: path.with_name(path.name + ".partial") for argument, path in targets.items()}
    for argument, path in partial.items():
        _remove(path)
        _remove(targets[argument])
        path.parent.mkdir(parents=True, exist_ok=True)
    token = _current.set((code, key))
    try:
        step = importlib.import_module(f"components.{name}.step")
        result: dict[str, Any] = step.run(**inputs, **partial, **params) or {}
    finally:
        _current.reset(token)
    for argument, path in partial.items():
        if not path.exists():
            raise OutputMissing(f"{name} ended without writing its output {argument!r}: mend components.{name}.step")
    for argument, path in partial.items():
        path.replace(targets[argument])
    return result


def _keep(store: ObjectStore, key: str, targets: Mapping[str, Path], result: dict[str, Any]) -> None:
    outputs: dict[str, dict[str, str]] = {}
    for argument, path in targets.items():
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        outputs[argument] = {
            "" if file == path else file.relative_to(path).as_posix(): store.put_blob(file) for file in files
        }
    store.put_bytes(f"steps/{key}.json", json.dumps({"outputs": outputs, "result": result}).encode())


def _restore(store: ObjectStore, key: str, targets: Mapping[str, Path]) -> dict[str, Any] | None:
    """Bring back the outputs of a finished step; None when there is no record, or a blob of it is gone or damaged."""
    try:
        record = json.loads(store.get_bytes(f"steps/{key}.json"))
        for argument, path in targets.items():
            partial = path.with_name(path.name + ".partial")
            _remove(partial)
            partial.parent.mkdir(parents=True, exist_ok=True)
            for name, digest in record["outputs"][argument].items():
                file = partial / name if name else partial
                file.parent.mkdir(parents=True, exist_ok=True)
                _fetch(store, digest, file)
            partial.mkdir(exist_ok=True) if not partial.exists() else None
            _remove(path)
            partial.replace(path)
    except ObjectNotFound:
        return None
    result: dict[str, Any] = record["result"]
    return result


def _fetch(store: ObjectStore, digest: str, file: Path) -> None:
    """A blob as a file; a damaged one is deleted, so that the step that makes it again can store it anew."""
    try:
        store.get_blob(digest, file)
    except ObjectCorrupt as error:
        store.delete(blob_key(digest))
        raise ObjectNotFound(str(error)) from error


def _disk_full(error: BaseException, folders: Iterable[Path]) -> DiskFull | None:
    """`DiskFull` when that is what `error` means, as libraries tell it in many ways; names the folder."""
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error)
    if not full or not isinstance(error, Exception):
        return None
    named = getattr(error, "filename", None)
    candidates = [Path(str(named))] if named else [*folders, Path(tempfile.gettempdir())]
    present = [next(folder for folder in (path, *path.absolute().parents) if folder.is_dir()) for path in candidates]
    fullest = min(present, key=lambda folder: shutil.disk_usage(folder).free)
    return DiskFull(f"no space left on the disk of {fullest}: free some and run again, it goes on where it was")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
