"""yt-dlp behind a fence, in a process of its own: a page's address on stdin, what it found on stdout.

The fence is an audit hook, which nothing in the process can lift: no connection to an address that the
guard refuses (redirects and look-ups included, since the hook sees the address of the connection itself),
no other program, no FTP. yt-dlp only looks for the video here; `transfer` downloads it.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from wire.fetch.guard import Guard

MEMORY_BYTES = 2 << 30
FORMAT = "b[height<=?720][protocol~='^https?$']/b[protocol~='^https?$']/bv[protocol~='^https?$']"
PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty")
refused: list[str] = []


def fence(allow_private: bool | Sequence[str]) -> None:
    """Install the audit hook; it stays until the process ends."""
    guard = Guard(allow_private)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            where = args[1]
            if where is None or (isinstance(where, tuple) and guard.permits(str(where[0]), int(where[1]))):
                return
            refused.append(f"{where[0]}:{where[1]}" if isinstance(where, tuple) else "a local socket")
            raise PermissionError(f"connection to {refused[-1]} is refused")
        if event in PROGRAMS or event.startswith("ftplib."):
            raise PermissionError(f"{event} is refused while a page is read")

    sys.addaudithook(hook)


class Quiet:
    """A logger that says nothing: stdout carries the answer, and messages could carry secrets."""

    def debug(self, message: str) -> None:
        """Drop it."""

    warning = error = debug


def look(url: str, timeout_s: float) -> dict[str, Any]:
    """What yt-dlp knows about the page's first video, with the address and headers of its media file."""
    from yt_dlp import YoutubeDL
    from yt_dlp.networking._urllib import UrllibRH

    class PlainRH(UrllibRH):  # type: ignore[misc]
        """Only http and https; keeps the name that yt-dlp looks for."""

        RH_KEY = "Urllib"
        _SUPPORTED_URL_SCHEMES = ("http", "https")

    class Fenced(YoutubeDL):  # type: ignore[misc]
        def build_request_director(self, _handlers: Any, _preferences: Any = None) -> Any:
            return super().build_request_director([PlainRH])

    settings = {
        "quiet": True, "no_warnings": True, "noprogress": True, "logger": Quiet(),
        "proxy": "", "cachedir": False, "js_runtimes": {}, "fixup": "never",
        "noplaylist": True, "playlist_items": "1", "format": FORMAT,
        "socket_timeout": timeout_s, "extractor_retries": 0,
    }  # fmt: skip
    with Fenced(settings) as downloader:
        found = downloader.extract_info(url, download=False)
    while found and found.get("entries") is not None:
        found = next(iter(found["entries"]), None)
    if found and found.get("extractor") in ("generic", "html5"):
        found["title"] = (found.get("title") or "").removesuffix(" (1)")
    return dict(found or {})


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """What was found, or why nothing was; `passing` marks a failure that a retry may mend."""
    from yt_dlp.networking.exceptions import HTTPError, TransportError
    from yt_dlp.utils import YoutubeDLError

    try:
        found = look(question["url"], question["timeout_s"])
    except MemoryError:
        return {"error": "the page takes too much memory to read"}
    except YoutubeDLError as error:
        if refused:
            return {"error": f"it leads to {refused[0]}, a private or reserved address", "forbidden": True}
        inner = (getattr(error, "exc_info", None) or (None, None))[1] or error
        cause = getattr(inner, "cause", None) or inner
        status = cause.status if isinstance(cause, HTTPError) else 0
        passing = status >= 500 or status == 429 or (not status and isinstance(cause, TransportError))
        return {"error": str(getattr(inner, "orig_msg", None) or inner), "passing": passing}
    names = ("url", "protocol", "http_headers", "title", "description", "timestamp", "duration", "is_live")
    return {name: found.get(name) for name in names}


def main() -> None:
    """Read the question, raise the fence, answer."""
    question = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    fence(question["allow_private"])
    print(json.dumps(answer(question)))


if __name__ == "__main__":
    main()
