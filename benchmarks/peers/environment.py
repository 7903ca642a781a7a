"""A peer's own virtual environment in the user's cache folder, made once for the content of its requirements."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from components.runtime import cache_home

REQUIREMENTS = Path(__file__).with_name("requirements")


def python(peer: str) -> Path:
    """The peer's Python; its environment is made with uv when it is not there yet."""
    file = REQUIREMENTS / f"{peer}.txt"
    key = hashlib.sha256(file.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = cache_home() / "peers" / f"{peer}-{key}"
    found = folder / "bin" / "python"
    if not found.exists():
        uv = shutil.which("uv", path=sysconfig.get_path("scripts")) or "uv"
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        subprocess.run([uv, "venv", "--quiet", "--relocatable", "--python", sys.executable, str(partial)], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", str(partial / "bin" / "python"), "-r", str(file)]
        subprocess.run(install, check=True)
        partial.rename(folder)
    return found
