"""Install what constraints.txt locks, and this project, into the environment that runs this: see the Makefile.

uv does it several times as fast as pip, and gets pip's own settings of where packages come from; where uv cannot
be had or fails, pip does it.
"""

import ast
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

LOCK = Path(__file__).parents[1] / "constraints.txt"
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
INSTALL = [*PIP, "install", "--quiet"]
PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}


def main() -> None:
    """Leave with the exit code of what failed."""
    if not _with_uv():
        print("installing with pip, which takes some minutes", flush=True)
        _run([*INSTALL, "--require-hashes", "-r", str(LOCK)])
    _run([*INSTALL, "--no-deps", "--no-build-isolation", "-e", str(LOCK.parent)])


def _with_uv() -> bool:
    lines = re.search(r"^uv==.*(\n +--hash=.*)+", LOCK.read_text(), re.MULTILINE)
    if lines is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "uv.txt"
        alone.write_text(lines[0] + "\n")
        if subprocess.run([*INSTALL, "--require-hashes", "-r", str(alone)]).returncode:
            return False
    install = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable, "--require-hashes"]
    return subprocess.run([*install, "-r", str(LOCK)], env=_uv_environment()).returncode == 0


def _uv_environment() -> dict[str, str]:
    """Ours with pip's settings, from its files and variables, as uv calls them; what uv was told itself wins."""
    listed = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True).stdout
    told = {"UV_INDEX_STRATEGY": "unsafe-best-match"}  # safe with hashes, and what pip does
    for section in ("global", "install", ":env:"):
        for key, value in re.findall(rf"^{section}\.({'|'.join(PIP_TO_UV)})=(.*)$", listed, re.MULTILINE):
            told[PIP_TO_UV[key]] = " ".join(str(ast.literal_eval(value)).split())
    return {**told, **os.environ}


def _run(command: list[str]) -> None:
    code = subprocess.run(command).returncode
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
