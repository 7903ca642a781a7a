"""Looks again and again, whatever fails meanwhile, and tells how it goes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from interest.errors import InterestError
from monitoring.experiments.followed import Followed
from monitoring.experiments.metrics import Told
from monitoring.experiments.reconciler import Reconciler
from wire.errors import WireError

LOG = logging.getLogger(__name__)
LOOK_EVERY_S = 1.0
AGAIN_S = 1.0


def run(make: Callable[[], Reconciler], told: Told, ended: threading.Event, every_s: float = LOOK_EVERY_S) -> None:
    """Look every so often until `ended`; after a failure the reconciler is made anew, from what is kept.

    What was read of the joiner's commits stays: an experiment may have days of them.
    """
    reconciler: Reconciler | None = None
    followed: Followed | None = None
    while not ended.is_set():
        try:
            if reconciler is None:
                reconciler = make()
                reconciler.followed = followed or reconciler.followed
            told.experiments = reconciler.look(time.time_ns() // 1_000_000)
            told.waits_for, told.looks, told.looked_ms = "", told.looks + 1, time.time_ns() // 1_000_000
            ended.wait(every_s)
        except (WireError, InterestError) as error:
            told.failures, told.last_failure, told.waits_for = told.failures + 1, str(error), str(error)
            LOG.warning("cannot look at the experiments: %s", error)
            if reconciler is not None:
                followed = reconciler.followed
                reconciler.close()
            reconciler = None
            ended.wait(AGAIN_S)
    if reconciler is not None:
        reconciler.close()
