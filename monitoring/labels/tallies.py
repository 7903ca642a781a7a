"""Requests of each experiment's arms, counted as exposures come: whether a candidate works is seen within seconds."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from monitoring.labels.intake import Asked
from wire.observations import ArmTally

KEEP_MS = 7 * 86_400_000
"""How long an experiment without exposures is remembered."""


class Tallies:
    """Counts from those of a commit on; `moved` says whether there is anything new since it was set to False."""

    def __init__(self, before: Mapping[str, Mapping[str, ArmTally]]) -> None:
        self._by_name = {name: copy.deepcopy(dict(arms)) for name, arms in before.items()}
        self.moved = False

    def count(self, asked: Asked, candidates: int, logged_ms: int) -> None:
        """Count an exposure; those of no experiment are not counted."""
        if asked.experiment is None:
            return
        self.moved = True
        arm = self._by_name.setdefault(asked.experiment, {}).setdefault(asked.arm, ArmTally())
        arm.first_ms = min(arm.first_ms, asked.ts_ms) if arm.requests else asked.ts_ms
        arm.last_ms = max(arm.last_ms, asked.ts_ms)
        arm.logged_ms = max(arm.logged_ms, logged_ms)
        arm.requests += 1
        arm.failed += asked.failed
        arm.unknown += asked.unknown
        arm.candidates += candidates
        arm.latency_ms += asked.latency_ms
        arm.latency_ms_squared += asked.latency_ms**2

    def snapshot(self, now_ms: int) -> dict[str, dict[str, ArmTally]]:
        """A copy to be written; forgets experiments that ended long ago."""
        for name, arms in list(self._by_name.items()):
            if max(arm.logged_ms for arm in arms.values()) < now_ms - KEEP_MS:
                del self._by_name[name]
        return copy.deepcopy(self._by_name)
