"""The video of a web page, found by yt-dlp in a fenced process that is ended at the deadline."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import msgspec

from wire.errors import FetchTimeout, ForbiddenAddress, NoMedia, TooLarge, Unreachable
from wire.fetch.guard import Guard, check_url, redacted, redacted_text
from wire.fetch.http import Deadline
from wire.fetch.transfer import Policy

KEPT_HEADERS = ("User-Agent", "Referer", "Origin", "Accept-Language")
KEPT_ENVIRONMENT = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SYSTEMROOT")


class Page(msgspec.Struct, frozen=True):
    """What yt-dlp found: the media file's address with the headers it wants, and what the page says of it."""

    url: str | None = None
    protocol: str | None = None
    http_headers: dict[str, str] | None = None
    title: str | None = None
    description: str | None = None
    timestamp: float | None = None
    duration: float | None = None
    is_live: bool | None = None
    error: str | None = None
    forbidden: bool = False
    passing: bool = False

    def headers(self) -> dict[str, str]:
        """The headers for the media file that say who asks; nothing that carries a login."""
        return {name: value for name, value in (self.http_headers or {}).items() if name in KEPT_HEADERS}


def look_up(url: str, policy: Policy, deadline: Deadline) -> Page:
    """The first video of the page, whose `url` is an http(s) address of one file.

    Raises `NoMedia`, `TooLarge` (longer than `max_duration_s`), `ForbiddenAddress`, `FetchTimeout`, or
    `Unreachable` for what may pass.
    """
    page = _ask(url, policy, deadline)
    if page.error is not None:
        message = f"{redacted(url)}: {redacted_text(page.error)[:300]}"
        if page.forbidden:
            raise ForbiddenAddress(f"{message}; to download from it, name address:port in allow_private")
        if page.passing:
            raise Unreachable(message)
        raise NoMedia(f"{message}; give the address of a page that yt-dlp knows, or of the file itself")
    if page.is_live or not page.url or page.protocol not in ("http", "https"):
        raise NoMedia(f"{redacted(url)}: no single file to download (a live or segmented stream, or none)")
    if page.duration is not None and page.duration > policy.max_duration_s:
        raise TooLarge(
            f"{redacted(url)}: {page.duration:.0f} s long, the limit is {policy.max_duration_s:.0f}; "
            "raise max_duration_s to take it"
        )
    check_url(page.url)
    return page


def _ask(url: str, policy: Policy, deadline: Deadline) -> Page:
    """Run yt-dlp in a process with no configuration, no proxies, no home and no path to programs."""
    allowed = Guard(policy.allow_private).allow_private
    question = {"url": url, "timeout_s": policy.idle_timeout_s, "allow_private": allowed}
    with tempfile.TemporaryDirectory() as home:
        environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ} | {
            "HOME": home, "XDG_CONFIG_HOME": home, "PATH": "", "LC_ALL": "C.UTF-8", "YTDLP_NO_PLUGINS": "1",
            "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        }  # fmt: skip
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-s", "-m", "wire.fetch._ytdlp"],
                input=msgspec.json.encode(question),
                capture_output=True,
                timeout=deadline.remaining_s(),
                cwd=home,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            raise FetchTimeout(f"{redacted(url)}: the page was not read in time; raise timeout_s") from None
    try:
        return msgspec.json.decode(done.stdout.splitlines()[-1], type=Page)
    except (IndexError, msgspec.DecodeError):
        why = redacted_text(done.stderr.decode(errors="replace"))[-200:]
        raise NoMedia(f"{redacted(url)}: yt-dlp ended with code {done.returncode}: {why}") from None
