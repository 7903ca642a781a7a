"""Reports of how the serving model is doing, in the object store: made by a job, looked at by everybody.

`reports/<day>/<name>/report.json` is written last, beside the files that it names; a report without it is not there.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from interest.decay import Decay
from interest.drift.verdict import Verdict
from interest.quality import Bin, Quality
from wire.errors import ObjectNotFound
from wire.objects import ObjectStore

PREFIX = "reports/"
RECORD = "report.json"
MODEL, TABLES, EXPERIMENT = "model", "tables", "experiment"


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the past that was looked at, or a table by its name; times in ms since 1970, None for a table."""

    name: str
    rows: int
    from_ms: int | None = None
    to_ms: int | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found at one look.

    `kind`: "model" (observations of the serving model), "tables" (what somebody gave to compare), "experiment" (its
    arms; `subject` is its name). `promised`: figures of the model's training report, `worse` says in words which of
    them it does not keep. `head`: the joiner's commit that was the newest. `files`: keys by name, as `evidently.html`.
    """

    kind: str
    name: str
    made_ms: int
    model: str = ""
    subject: str = ""
    head: int = 0
    reference: Span
    current: Span
    verdict: Verdict | None = None
    quality: tuple[Quality, ...] = ()
    calibration: tuple[Bin, ...] = ()
    decay: Decay | None = None
    promised: dict[str, float] = {}
    worse: tuple[str, ...] = ()
    files: dict[str, str] = {}

    @property
    def drifted(self) -> bool:
        """Whether anything drifted."""
        return self.verdict is not None and self.verdict.drifted

    @property
    def folder(self) -> str:
        """What the keys of its files begin with."""
        return f"{PREFIX}{datetime.fromtimestamp(self.made_ms / 1000, UTC):%Y-%m-%d}/{self.name}/"


def new_name(made_ms: int) -> str:
    """A name that sorts by time and is no other's."""
    return f"{datetime.fromtimestamp(made_ms / 1000, UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def write(store: ObjectStore, report: Report, files: Mapping[str, bytes]) -> Report:
    """Keep a report with its files; returns it with their keys."""
    keys = {name: report.folder + name for name in files}
    for name, data in files.items():
        store.put_bytes(keys[name], data)
    kept = msgspec.structs.replace(report, files=keys)
    store.put_bytes(report.folder + RECORD, msgspec.json.encode(kept))
    return kept


def names(store: ObjectStore) -> list[str]:
    """Names of all reports, the newest first."""
    found = [key.split("/") for key in store.list(PREFIX) if key.endswith(f"/{RECORD}")]
    return sorted((parts[2] for parts in found if len(parts) == 4), reverse=True)


def read(store: ObjectStore, name: str) -> Report:
    """One report; raises ObjectNotFound."""
    day = f"{name[:4]}-{name[4:6]}-{name[6:8]}"
    return msgspec.json.decode(store.get_bytes(f"{PREFIX}{day}/{name}/{RECORD}"), type=Report)


def newest(store: ObjectStore, most: int = 50, kind: str = "") -> list[Report]:
    """The newest reports, of one kind if it is given; one that goes meanwhile is left out."""
    found: list[Report] = []
    for name in names(store):
        try:
            report = read(store, name)
        except ObjectNotFound:
            continue
        if kind in ("", report.kind):
            found.append(report)
        if len(found) == most:
            break
    return found


def expire(store: ObjectStore, days: float, now_ms: int | None = None) -> int:
    """Delete what was made more than `days` days ago, the record first; how many objects that were."""
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    oldest = f"{datetime.fromtimestamp(now_ms / 1000 - days * 86_400, UTC):%Y-%m-%d}"
    old = [key for key in store.list(PREFIX) if key.split("/")[1] < oldest]
    for key in sorted(old, key=lambda key: not key.endswith(RECORD)):
        store.delete(key)
    return len(old)
