"""Videos in the object store: brought once from the web or a disk, kept by content under `videos/<sha256>`.

What came once is written down in the store (`downloads/<sha256 of the address>.json`), so that a second run
asks the server only whether the file changed, and a page's video is not asked for again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

import msgspec

from interest.errors import InvalidRecord
from interest.features.probe import duration_s
from wire.errors import ObjectNotFound, TooLarge
from wire.fetch import NotModified, Policy, Validators, fetch
from wire.fetch.transfer import part_name
from wire.objects import ObjectStore


class Kept(msgspec.Struct, frozen=True):
    """What is remembered of a video; no address, since addresses may carry secrets."""

    sha256: str
    duration_s: float
    validators: Validators
    caption: str = ""
    published_at_ms: int = 0


@dataclass(frozen=True)
class Downloader:
    """Brings videos within the policy's limits into the store; partial files live in the folder `parts`.

    `probe` gives a file's length in seconds or raises `InvalidVideo`; a long-lived process asks another one.
    """

    store: ObjectStore
    policy: Policy
    parts: Path
    probe: Callable[[Path], float] = duration_s

    def from_disk(self, path: Path) -> Kept:
        """Keep a file of this machine; raises `InvalidRecord`, `InvalidVideo`, `TooLarge`."""
        if not path.is_file():
            raise InvalidRecord(f"{str(path)!r} is no file")
        if path.stat().st_size > self.policy.max_bytes:
            raise TooLarge(f"{path.stat().st_size} bytes, the limit is {self.policy.max_bytes}; raise max_bytes")
        return self._keep(path)

    def from_web(self, url: str) -> tuple[Kept, int]:
        """Keep what lies at an address, and the bytes received for it; raises `FetchError`, `InvalidVideo`."""
        before = self._remembered(url)
        if before is not None and not before.validators:
            return before, 0
        with tempfile.TemporaryDirectory(dir=self.parts) as folder:
            known = before.validators if before else None
            got = fetch(url, Path(folder) / "media", self.policy, parts=self.parts, known=known)
            if isinstance(got, NotModified):
                assert before is not None  # noqa: S101  only known validators can be confirmed
                return before, 0
            kept = self._keep(got.path, got.validators, got.caption, got.published_at_ms)
        self.store.put_bytes(_note_key(url), msgspec.json.encode(kept))
        return kept, got.received_bytes

    def uri(self, kept: Kept) -> str:
        """Where its bytes lie."""
        return self.store.uri(_key(kept.sha256))

    def _remembered(self, url: str) -> Kept | None:
        """What an earlier run brought from this address, if its bytes are still in the store."""
        try:
            kept = msgspec.json.decode(self.store.get_bytes(_note_key(url)), type=Kept)
        except (ObjectNotFound, msgspec.DecodeError):
            return None
        fits = kept.duration_s <= self.policy.max_duration_s
        return kept if fits and self.store.exists(_key(kept.sha256)) else None

    def _keep(
        self, path: Path, validators: Validators | None = None, caption: str = "", published_at_ms: int = 0
    ) -> Kept:
        """Put a file that is a video within the limits into the store, once per content."""
        seconds = self.probe(path)
        if seconds > self.policy.max_duration_s:
            limit = self.policy.max_duration_s
            raise TooLarge(f"{seconds:.0f} s long, the limit is {limit:.0f}; raise max_duration_s to take it")
        with path.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
        if not self.store.exists(_key(digest)):
            self.store.put_file(_key(digest), path)
        return Kept(digest, seconds, validators or Validators(), caption, published_at_ms)


def _key(digest: str) -> str:
    return f"videos/{digest}"


def _note_key(url: str) -> str:
    return f"downloads/{part_name(url)}.json"
