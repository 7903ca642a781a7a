"""Downloads from the internet: files by HTTP, pages through yt-dlp, both behind one guard."""

from wire.fetch.fetch import Fetched, fetch
from wire.fetch.guard import Guard, check_url, redacted
from wire.fetch.transfer import NotModified, Policy, Validators

__all__ = ["Fetched", "Guard", "NotModified", "Policy", "Validators", "check_url", "fetch", "redacted"]
