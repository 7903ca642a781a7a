"""Tests wait for conditions, not for time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

DEADLINE_S = 120.0
T = TypeVar("T")


def until(condition: Callable[[], T], what: str = "what is waited for", deadline_s: float = DEADLINE_S) -> T:
    """What `condition` gives once that is true; an AssertionError names `what` when it is not in time."""
    give_up_at = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < give_up_at, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.01)
    return found
