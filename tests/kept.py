"""What tests fetch or make once a user, in the user's cache under a name that changes with its source."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from components.runtime import cache_home

FETCH_S = 240.0


def kept(name: str, source: str, make: Callable[[Path], Path]) -> Path:
    """The folder that `make` made of `source`; it gets an empty folder and returns the one in it to keep."""
    cache = cache_home()
    found = cache / f"{name}-{hashlib.sha256(source.encode()).hexdigest()[:16]}"
    if found.is_dir():
        return found
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        made = make(Path(folder))
        try:
            made.rename(found)
        except OSError:
            if not found.is_dir():  # not that another run was faster
                raise
    return found


def fetch_jars(pom: str, folder: Path) -> str:
    """Have Maven put what a POM asks for into `folder`/libs; why it can't, or nothing."""
    (folder / "pom.xml").write_text(pom, encoding="utf-8")
    command = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=libs"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=FETCH_S, check=False)
    return "" if done.returncode == 0 else (done.stdout + done.stderr).strip()[-300:]
