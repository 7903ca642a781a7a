"""One file by HTTP: resumed after a break, retried with backoff, held to limits of size, time and rate."""

from __future__ import annotations

import fcntl
import math
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from http.client import HTTPMessage
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from wire.errors import CacheUnwritable, HttpFailure, TooLarge, Unreachable
from wire.fetch.guard import Guard, redacted
from wire.fetch.http import Deadline, Reply, opened

MAX_PIECE_BYTES = 1 << 16
PASSING = (408, 425, 429, 500, 502, 503, 504)
T = TypeVar("T")


@dataclass(frozen=True)
class Policy:
    """What one download may cost and reach; `rate_limit_bytes_s` 0 means no limit."""

    max_bytes: int = 512 << 20
    max_duration_s: float = 3600.0
    timeout_s: float = 900.0
    idle_timeout_s: float = 20.0
    retries: int = 4
    backoff_s: float = 0.5
    max_backoff_s: float = 30.0
    rate_limit_bytes_s: int = 0
    allow_private: bool | Sequence[str] = False


class Validators(msgspec.Struct, frozen=True):
    """What the server said to tell this version of a file from another one; empty when it said nothing."""

    etag: str = ""
    last_modified: str = ""

    def __bool__(self) -> bool:
        return bool(self.etag or self.last_modified)

    def conditions(self) -> dict[str, str]:
        """Headers that ask for the file only if it changed."""
        pairs = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in pairs.items() if value}

    def if_range(self) -> str:
        """The strong validator to resume with, or nothing: a weak one proves no equality of bytes."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified


@dataclass(frozen=True)
class NotModified:
    """The file is still the one whose validators were given."""


@dataclass(frozen=True)
class WebPage:
    """The URL answers with HTML: a page that may hold a video, not the video."""


@dataclass(frozen=True)
class Whole:
    """A complete file at `path`, and the bytes that came over the wire for it in this call."""

    path: Path
    validators: Validators
    received_bytes: int


def retried(policy: Policy, deadline: Deadline, attempt: Callable[[], T]) -> T:
    """Call until it succeeds, with exponential backoff and jitter after each `Unreachable`.

    A server's Retry-After is obeyed up to `max_backoff_s`; the last failure is raised.
    """
    for failures in range(policy.retries + 1):
        try:
            return attempt()
        except Unreachable as error:
            if failures == policy.retries:
                raise
            pause = policy.backoff_s * 2**failures * random.uniform(0.5, 1.5)  # noqa: S311
            pause = min(max(pause, error.retry_after_s), policy.max_backoff_s)
            time.sleep(min(pause, deadline.remaining_s()))
    raise AssertionError("unreachable: the last attempt returns or raises")


def transfer(
    url: str,
    part: Path,
    destination: Path,
    policy: Policy,
    *,
    deadline: Deadline,
    headers: Mapping[str, str] | None = None,
    known: Validators | None = None,
) -> Whole | WebPage | NotModified:
    """Download `url` through `part` to `destination`, which appears only when it is whole.

    `part` survives failures, kills and Ctrl-C; the next call continues it when the server still has the
    same version. Raises `FetchError` (by its names) and `CacheUnwritable`.
    """
    guard = Guard(policy.allow_private)
    received = 0

    def attempt() -> Whole | WebPage | NotModified:
        nonlocal received
        with _locked(part) as file:
            started, have = _read_state(part), file.seek(0, os.SEEK_END)
            resume = _range(started, have)
            asked = resume or (known.conditions() if known else {})
            with opened(url, dict(headers or {}) | asked, guard, deadline) as reply:
                if reply.status == 304 and known and not resume:
                    return NotModified()
                if resume and reply.status == 416:
                    _forget(part, file)
                    raise Unreachable(f"{redacted(url)}: no bytes from {have} on; starting over")
                _check_status(reply, policy)
                if reply.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
                    return WebPage()
                if not (reply.status == 206 and _continues(reply.headers, have)):
                    _forget(part, file)
                    if reply.status == 206:
                        raise Unreachable(f"{redacted(url)}: a range that was not asked for; starting over")
                    have = 0
                validators = _validators(reply.headers) if have == 0 else started
                _write_state(part, validators)
                try:
                    for size in _limited(reply, file, have, policy):
                        received += size
                except TooLarge:
                    part.unlink()
                    _state_path(part).unlink()
                    raise
            with _named_writing(part):
                file.flush()
                os.fsync(file.fileno())
                part.replace(destination)
            _state_path(part).unlink(missing_ok=True)
            return Whole(destination, validators, received)

    return retried(policy, deadline, attempt)


def part_name(url: str) -> str:
    """A file name for a URL that shows nothing of it."""
    return sha256(url.encode()).hexdigest()


def _limited(reply: Reply, file: BinaryIO, have: int, policy: Policy) -> Iterator[int]:
    """Append the body to `file`, yielding the size of each piece, within the size and rate limits."""
    announced = reply.headers.get("Content-Length", "")
    if announced.isdigit() and have + int(announced) > policy.max_bytes:
        raise TooLarge(_over(reply.url, have + int(announced), policy))
    rate = policy.rate_limit_bytes_s
    started, got = time.monotonic(), 0
    for piece in reply.pieces(max(1, min(MAX_PIECE_BYTES, rate // 4)) if rate else MAX_PIECE_BYTES):
        got += len(piece)
        if have + got > policy.max_bytes:
            raise TooLarge(_over(reply.url, have + got, policy))
        with _named_writing(Path(file.name)):
            rest = memoryview(piece)
            while rest:
                rest = rest[file.write(rest) :]
        yield len(piece)
        if rate and (ahead := got / rate - (time.monotonic() - started)) > 0:
            time.sleep(ahead)


def _over(url: str, size: int, policy: Policy) -> str:
    return f"{redacted(url)}: {size} bytes or more, the limit is {policy.max_bytes}; raise max_bytes"


def _check_status(reply: Reply, policy: Policy) -> None:
    if reply.status in (200, 206):
        encoding = reply.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise HttpFailure(f"{redacted(reply.url)}: content encoding {encoding!r} was not asked for")
        return
    message = f"{redacted(reply.url)}: HTTP status {reply.status}"
    if reply.status in PASSING:
        raise Unreachable(message, min(_retry_after_s(reply.headers), policy.max_backoff_s))
    raise HttpFailure(f"{message}; check that the address still exists and is open to everybody")


def _retry_after_s(headers: HTTPMessage) -> float:
    """Seconds that the server asks to wait: a number or a date; 0 when it says nothing usable."""
    value = headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def _range(started: Validators, have: int) -> dict[str, str]:
    if have == 0 or not started.if_range():
        return {}
    return {"Range": f"bytes={have}-", "If-Range": started.if_range()}


def _continues(headers: HTTPMessage, have: int) -> bool:
    """Whether a 206 answer starts at the byte that is asked for and goes to the end of the file."""
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", headers.get("Content-Range", "").strip())
    if match is None or have == 0 or int(match[1]) != have:
        return False
    return match[3] == "*" or int(match[2]) + 1 == int(match[3])


def _validators(headers: HTTPMessage) -> Validators:
    return Validators(headers.get("ETag", "").strip(), headers.get("Last-Modified", "").strip())


def _state_path(part: Path) -> Path:
    return part.with_suffix(".json")


def _read_state(part: Path) -> Validators:
    try:
        return msgspec.json.decode(_state_path(part).read_bytes(), type=Validators)
    except (FileNotFoundError, msgspec.DecodeError):
        return Validators()


def _write_state(part: Path, validators: Validators) -> None:
    with _named_writing(part):
        _state_path(part).write_bytes(msgspec.json.encode(validators))


def _forget(part: Path, file: BinaryIO) -> None:
    """Empty the part; its validators go first, so that new bytes never wear the old ones' name."""
    _state_path(part).unlink(missing_ok=True)
    with _named_writing(part):
        file.truncate(0)
        file.seek(0)


@contextmanager
def _locked(part: Path) -> Iterator[BinaryIO]:
    """The part, open for appending, in this process only; raises `Unreachable` while another has it."""
    with _named_writing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
        file = part.open("ab", buffering=0)
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unreachable("another run downloads the same address now; wait for it to end") from None
        if not _same_file(part, file):
            raise Unreachable("another run has just finished the same address")
        yield file


def _same_file(path: Path, file: BinaryIO) -> bool:
    """Whether the path still names the open file: its last holder may have moved it into place."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


@contextmanager
def _named_writing(path: Path) -> Iterator[None]:
    """Name what goes wrong in writing, so that a full disk stops the run instead of rejecting every item."""
    try:
        yield
    except OSError as error:
        raise CacheUnwritable(
            f"cannot write {path.parent}: {error.strerror}; free space or change RAPT_CACHE_DIR"
        ) from None
