"""One address to one media file: the file itself, or the video of the page that is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wire.errors import NoMedia
from wire.fetch.guard import check_url, redacted
from wire.fetch.http import Deadline
from wire.fetch.page import look_up
from wire.fetch.transfer import NotModified, Policy, Validators, WebPage, part_name, retried, transfer


@dataclass(frozen=True)
class Fetched:
    """A whole media file and what its page says; `validators` are empty for a page's file."""

    path: Path
    received_bytes: int
    validators: Validators
    caption: str = ""
    published_at_ms: int = 0


def fetch(
    url: str, destination: Path, policy: Policy, *, parts: Path, known: Validators | None = None
) -> Fetched | NotModified:
    """Download the media at `url` to `destination`; partial files live in the folder `parts`.

    With `known` validators the answer is `NotModified` when the server has nothing newer.
    Raises `FetchError` by its names for this item, `CacheUnwritable` when no item can be written.
    """
    check_url(url)
    deadline = Deadline.after(policy.timeout_s, policy.idle_timeout_s)
    part = parts / f"{part_name(url)}.part"
    direct = transfer(url, part, destination, policy, deadline=deadline, known=known)
    if isinstance(direct, NotModified):
        return direct
    if not isinstance(direct, WebPage):
        return Fetched(direct.path, direct.received_bytes, direct.validators)
    page = retried(policy, deadline, lambda: look_up(url, policy, deadline))
    media = page.url or ""
    part = parts / f"{part_name(url + ' video')}.part"
    whole = transfer(media, part, destination, policy, deadline=deadline, headers=page.headers())
    if isinstance(whole, WebPage | NotModified):
        raise NoMedia(f"{redacted(url)}: its video {redacted(media)} is a page, not a file")
    caption = " ".join((page.title or page.description or "").split())
    return Fetched(
        whole.path,
        whole.received_bytes,
        Validators(),
        caption,
        published_at_ms=int((page.timestamp or 0) * 1000),
    )
