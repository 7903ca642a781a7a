"""Which bundle a process serves: pinned, or the one published last, followed; a bad one leaves the old in place."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from interest.bundle import Bundle
from interest.errors import InterestError
from wire import models
from wire.errors import ObjectNotFound, WireError
from wire.objects import ObjectStore

LOG = logging.getLogger(__name__)
LOOK_EVERY_S = 1.0
REFUSED_FOR_S = 30.0
"""A bundle that was refused is tried again after this long: it may have been damaged on the way."""


class Served(Protocol):
    """What a bundle is served by."""

    @property
    def bundle(self) -> Bundle:
        """The bundle."""

    def close(self) -> None:
        """Let go of it; nobody asks any more."""


T = TypeVar("T", bound=Served)


@dataclass
class Refusals:
    """Bundles that could not be served; `last` says which and why."""

    count: int = 0
    digest: str = ""
    last: str = ""
    until: float = 0.0


class BundleFollower(Generic[T]):
    """Keeps `current` at what `load` makes of the wanted bundle, in a thread of its own.

    `load` is given a verified bundle and returns when it can serve; the old one is closed `linger_s` after the
    new one took its place, when nobody can still be using it.
    """

    def __init__(
        self,
        store: ObjectStore,
        cache: Path,
        load: Callable[[Bundle], T],
        *,
        pinned: str = "",
        linger_s: float = 5.0,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self.store, self.cache, self.load = store, cache, load
        self.pinned, self.linger_s, self.look_every_s = pinned, linger_s, look_every_s
        self.current: T | None = None
        self.waits = "a published model: rapt pipeline run training"
        self.refusals = Refusals()
        self.swaps = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bundles", daemon=True)

    def status(self) -> dict[str, object]:
        """Which model is served, and which was refused."""
        return {
            "model_digest": self.current.bundle.digest if self.current is not None else "",
            "swaps": self.swaps,
            "refused_models": self.refusals.count,
            "last_refused": self.refusals.last,
        }

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End following and let go of the current bundle."""
        self._ended.set()
        self._thread.join()
        if self.current is not None:
            self.current.close()

    def look(self) -> None:
        """Serve what is wanted now, if it is not served already."""
        try:
            digest = models.resolve(self.store, self.pinned) if self.pinned else models.latest(self.store)
            if self.current is not None and self.current.bundle.digest == digest:
                return
            if digest == self.refusals.digest and time.monotonic() < self.refusals.until:
                return
            self._swap(digest)
        except ObjectNotFound:
            if self.current is None:
                self.waits = "a published model: rapt pipeline run training"
        except WireError as error:
            self.waits = str(error)
            LOG.warning("%s", error)

    def _swap(self, digest: str) -> None:
        try:
            made = self.load(models.fetch_bundle(self.store, digest, self.cache))
        except InterestError as error:
            self.refusals = Refusals(self.refusals.count + 1, digest, str(error), time.monotonic() + REFUSED_FOR_S)
            self.waits = str(error)
            LOG.error("bundle %s is refused: %s", digest[:12], error)
            return
        old, self.current = self.current, made
        self.swaps += 1
        LOG.info("serving %s", digest[:12])
        if old is not None:
            self._ended.wait(self.linger_s)
            old.close()

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception as error:
                self.waits = f"{type(error).__name__}: {error}"
                LOG.exception("cannot look for a bundle")
            if self._ended.wait(self.look_every_s):
                return


def cache_folder(home: str | None) -> Path:
    """Where bundles are kept on this machine: under RAPT_HOME, or in a folder that ends with the machine."""
    return Path(home) / "cache" if home else Path("/tmp/rapt-cache")  # noqa: S108 - every byte is verified
