"""Writes commits, one writer at a time: segments, then the commit, then the head, which alone makes them count.

Whoever wrote last into the head owns the observations; the owner before notices at its next commit and ends.
"""

from __future__ import annotations

import logging
import secrets
import threading
from datetime import UTC, date, datetime, timedelta

import msgspec

from monitoring.labels.errors import AnotherJoiner
from monitoring.labels.joined import Prepared, day_of
from wire import observations
from wire.errors import ObjectNotFound
from wire.objects import ObjectStore
from wire.observations import HEAD, Commit

LOG = logging.getLogger(__name__)
SETTLE_S = 0.5
"""How long a commit that was under way at a take-over may take to show up."""
MOST_DAYS = 400


class Ledger:
    """The commits in a store, as their one writer."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.writer = secrets.token_hex(8)

    def take_over(self, window_ms: int, ended: threading.Event) -> Commit:
        """Become the writer; gives the head. Raises WireError."""
        while True:
            found = observations.head(self._store) or Commit(seq=0, writer="", window_ms=window_ms)
            claim = msgspec.structs.replace(found, writer=self.writer)
            self._store.put_bytes(HEAD, msgspec.json.encode(claim))
            if ended.wait(SETTLE_S) or self._owner() == self.writer:
                break
            LOG.warning("another joiner was writing: taking over once more")
        self._remove_unfinished(found)
        return claim

    def write(self, prepared: Prepared) -> None:
        """Make a commit count; may be repeated until it is through. Raises AnotherJoiner and WireError."""
        commit = prepared.commit
        self._check()
        for key, data in prepared.files.items():
            self._store.put_bytes(key, data)
        self._store.put_bytes(observations.key(commit.seq), msgspec.json.encode(commit))
        self.refresh(commit)

    def refresh(self, commit: Commit) -> None:
        """Write the head alone. Raises AnotherJoiner and WireError."""
        self._check()
        self._store.put_bytes(HEAD, msgspec.json.encode(msgspec.structs.replace(commit, writer=self.writer)))

    def _owner(self) -> str:
        try:
            return msgspec.json.decode(self._store.get_bytes(HEAD), type=Commit).writer
        except ObjectNotFound:
            return "nobody"

    def _check(self) -> None:
        if (owner := self._owner()) != self.writer:
            raise AnotherJoiner(
                f"{self._store.uri(HEAD)} is {owner}'s now, not this joiner's ({self.writer}): another one has taken "
                "over the observations, so this one ends; run only one"
            )

    def _remove_unfinished(self, head: Commit) -> None:
        """Delete segments of a commit that was interrupted: the one that is made instead may have other days."""
        if not head.places:
            return
        first, last = date.fromisoformat(day_of(head.complete_ms)), datetime.now(UTC).date()
        for number in range(min((last - first).days + 2, MOST_DAYS)):
            self._store.delete(observations.segment_key(str(first + timedelta(days=number)), head.seq + 1))
