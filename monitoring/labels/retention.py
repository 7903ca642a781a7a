"""Deletes observations and commits that are older than they are to be kept."""

from __future__ import annotations

import logging
import threading
import time

import msgspec

from monitoring.labels.joined import day_of
from wire.errors import WireError
from wire.objects import ObjectStore
from wire.observations import PREFIX, Commit

LOG = logging.getLogger(__name__)
EVERY_S = 3600.0
DAY_MS = 86_400_000
DAYS, COMMITS = f"{PREFIX}day=", f"{PREFIX}commits/"


def expire(store: ObjectStore, keep_days: float, now_ms: int) -> int:
    """Delete the segments of days, and the commits, from over `keep_days` ago; gives how many objects went.

    Both are listed in the order of time, so that the first that is young enough ends it. The head stays.
    """
    oldest_ms = now_ms - round(keep_days * DAY_MS)
    gone = 0
    for key in store.list(DAYS):
        if key.removeprefix(DAYS)[:10] >= day_of(oldest_ms):
            break
        store.delete(key)
        gone += 1
    for key in store.list(COMMITS):
        if msgspec.json.decode(store.get_bytes(key), type=Commit).written_ms >= oldest_ms:
            break
        store.delete(key)
        gone += 1
    return gone


class Retention:
    """Expires once an hour in a thread of its own, from `start` to `stop`."""

    def __init__(self, store: ObjectStore, keep_days: float) -> None:
        self._store, self._keep_days = store, keep_days
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Expire no more; a deletion under way is left alone."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                gone = expire(self._store, self._keep_days, time.time_ns() // 1_000_000)
                if gone:
                    LOG.info("deleted %d segments and commits older than %g days", gone, self._keep_days)
            except (WireError, msgspec.DecodeError) as error:
                LOG.warning("old observations stay for now: %s", error)
            self._over.wait(EVERY_S)
