"""What code a step stands on: its source, all of ours that it imports, and the versions of all else that it imports."""

from __future__ import annotations

import ast
import functools
import hashlib
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

OURS = ("components", "interest", "wire")
NAMED = re.compile(rf"({'|'.join(OURS)})(\.\w+)+")
"""A string that may name a module of ours, as for a process of its own: python -m wire.fetch._ytdlp"""


@functools.cache
def code_digest(module: str) -> str:
    """sha256 over every module of ours that `module` reaches by its imports, wherever in the source they stand."""
    seen: dict[str, Path] = {}
    foreign: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        path = _source(name)
        if name in seen or path is None:
            continue
        seen[name] = path
        todo.extend(_parents(name))
        for imported in _imports(name, path):
            if imported.split(".")[0] in OURS:
                todo.append(imported)
            else:
                foreign.add(imported.split(".")[0])
    parts = [f"{name}:{hashlib.sha256(path.read_bytes()).hexdigest()}" for name, path in sorted(seen.items())]
    parts += [f"{name}=={number}" for name, number in sorted(_versions(foreign))]
    return hashlib.sha256("\n".join([f"python {sys.version_info[:2]}", *parts]).encode()).hexdigest()


def _imports(name: str, path: Path) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parent, base] if base else parent)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if base.split(".")[0] in OURS)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and NAMED.fullmatch(node.value):
            yield node.value


def _source(name: str) -> Path | None:
    """The file of a module of ours, found without importing it; None for what is no module or not ours."""
    top, *rest = name.split(".")
    spec = find_spec(top) if top in OURS else None
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]).joinpath(*rest)
    found = (file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file())
    return next(found, None)


def _parents(name: str) -> list[str]:
    pieces = name.split(".")
    return [".".join(pieces[:count]) for count in range(1, len(pieces))]


def _versions(modules: set[str]) -> Iterator[tuple[str, str]]:
    for module in modules - set(sys.stdlib_module_names):
        try:
            yield module, version(module)
        except PackageNotFoundError:
            # another name than the module's: slow to find
            yield from ((owner, version(owner)) for owner in set(_distributions().get(module, ())))


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())
