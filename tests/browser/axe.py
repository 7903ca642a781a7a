"""axe-core, fetched once into the user's cache by npm and checked by its digest, and what it finds on a page."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

from tests.kept import FETCH_S, kept

PACKAGE = "axe-core@4.14.1"
SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
GRAVE = {"serious", "critical"}


@dataclass(frozen=True)
class Accepted:
    """What Streamlit does and we cannot mend: a rule, part of the selector that axe names, and the reason."""

    rule: str
    selector: str
    reason: str


ACCEPTED: tuple[Accepted, ...] = ()


def script() -> str:
    """The library's source."""
    return (kept("axe-core", PACKAGE + SHA512, _fetch) / "axe.min.js").read_text(encoding="utf-8")


def violations(page: Page, source: str) -> list[str]:
    """Serious and critical ones as `rule: selector: why`, but for those accepted."""
    page.evaluate(source)
    # What waits for a slow run is faded by Streamlit until it is there anew.
    within = "{exclude: [['[data-stale=true]']]}"
    found = page.evaluate(f"axe.run({within}, {{resultTypes: ['violations']}})")
    return [
        f"{one['id']}: {node['target'][0]}: {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
        if node["impact"] in GRAVE and not _accepted(one["id"], str(node["target"][0]))
    ]


def _accepted(rule: str, selector: str) -> bool:
    return any(one.rule == rule and one.selector in selector for one in ACCEPTED)


def _fetch(folder: Path) -> Path:
    command = ["npm", "pack", PACKAGE, "--silent", "--pack-destination", str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=FETCH_S, cwd=folder)
    (archive,) = folder.glob("*.tgz")
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert found == SHA512, f"{PACKAGE} has another sha512 than is pinned: {found}"
    with tarfile.open(archive) as packed:
        packed.extractall(folder / "unpacked", filter="data")
    return folder / "unpacked" / "package"
