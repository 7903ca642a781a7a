"""Deletes observations that are older than they are to be kept, and the commits that tell of them."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from monitoring.labels import segments
from monitoring.labels.segments import Commit
from wire.objects import ObjectStore

LOG = logging.getLogger(__name__)


def sweep(store: ObjectStore, head: Commit, keep_days: float) -> int:
    """Delete whole days that ended before, and commits before the first segment that is kept; gives their number."""
    first = f"{datetime.now(UTC) - timedelta(days=keep_days):%Y-%m-%d}"
    keys = list(store.list(f"{segments.PREFIX}day="))
    old = [key for key in keys if key.split("day=")[1].split("/")[0] < first]
    kept = [int(key.rsplit("/", 1)[1].split(".")[0]) for key in keys if key not in set(old)]
    if not old:
        return 0
    least = min(kept, default=head.seq)
    for key in old:
        store.delete(key)
    commits = [key for key in store.list(f"{segments.PREFIX}commits/") if int(key[-15:-5]) < least]
    for key in commits:
        store.delete(key)
    LOG.info("deleted %d segments and %d commits from before %s", len(old), len(commits), first)
    return len(old) + len(commits)
