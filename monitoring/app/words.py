"""Numbers, times and intervals as people read them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from interest.decay import Interval
from interest.experiments.decision import Bounds

NONE = "–"


def clock(ms: int) -> str:
    """A moment in UTC; a dash for none."""
    try:
        return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}" if ms else NONE
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"


def ago(ms: int) -> str:
    """How long ago a moment was, in its largest unit."""
    seconds = max(0.0, time.time() - ms / 1000)
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def share(value: float | None, places: int = 1) -> str:
    """A share in per cent."""
    return NONE if value is None else f"{value:.{places}%}"


def within(found: Interval | None, form: str = ".3f") -> str:
    """A value and where it lies."""
    return NONE if found is None else f"{found.value:{form}} ({found.lower:{form}} to {found.upper:{form}})"


def bounds(found: Bounds, form: str = "+.2%") -> str:
    """A difference and where it lies at all looks."""
    if found.value is None:
        return NONE
    if found.lower is None or found.upper is None:
        return f"{found.value:{form}}"
    return f"{found.value:{form}} ({found.lower:{form}} to {found.upper:{form}})"
