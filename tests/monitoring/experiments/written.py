"""Observations as the joiner writes them, made up by a test: viewers with a habit, a candidate with a lift."""

from __future__ import annotations

import numpy as np

from interest.experiments.assignment import Arm, Trial, assign
from tests.observed import commit
from wire.objects import ObjectStore
from wire.observations import ArmTally

WINDOW_MS = 1000
VIDEOS = 3


class Written:
    """The joiner's part: whatever is allocated when a minute is written decides the arms."""

    def __init__(self, store: ObjectStore, seed: int = 0, viewers: int = 1000) -> None:
        self.store, self.rng = store, np.random.default_rng(seed)
        self.habit = self.rng.beta(3, 5, viewers)
        self.seq = 0
        self.tallies: dict[str, dict[str, ArmTally]] = {}

    def write(
        self, trials: tuple[Trial, ...], begin_ms: int, end_ms: int, *, lift: float = 0.0, failing: bool = False,
        skew_ms: int = 0,
    ) -> None:  # fmt: skip
        """All viewers asked once between the two moments; their labels are known at once.

        `skew_ms`: how far the clock of the candidate's transformers and viewers is off.
        """
        rows = []
        for viewer, habit in enumerate(self.habit.tolist()):
            at_ms = int(begin_ms + (end_ms - begin_ms) * (viewer + 0.5) / len(self.habit))
            rows += self._request(trials, f"u{viewer}", habit, at_ms, lift, failing, skew_ms)
        self.seq += 1
        commit(self.store, self.seq, rows, end_ms + WINDOW_MS, window_ms=WINDOW_MS, tallies=self.tallies)

    def _request(
        self,
        trials: tuple[Trial, ...],
        user: str,
        habit: float,
        at_ms: int,
        lift: float,
        failing: bool,
        skew_ms: int,
    ) -> list[dict[str, object]]:
        trial = trials[0] if trials else None
        arm, chance = Arm.STABLE, 1.0
        if trial is not None:
            arm = assign(trial.salt, trial.experiment, user, trial.share)
            chance = trial.share if arm is Arm.CANDIDATE else 1 - trial.share
            tally = self.tallies.setdefault(trial.experiment, {}).setdefault(str(arm), ArmTally())
            tally.requests += 1
            tally.failed += failing and arm is Arm.CANDIDATE
        clock_ms = at_ms + skew_ms * (arm is Arm.CANDIDATE)
        chance_of_it = habit * (1 + lift * (arm is Arm.CANDIDATE))
        engaged = self.rng.random(VIDEOS) < chance_of_it
        return [
            {
                "request_id": f"{user}-{at_ms}", "user_id": user, "arm": str(arm), "propensity": chance,
                "experiment": trial.experiment if trial is not None else None, "model_digest": "a" * 64,
                "ts_ms": clock_ms, "logged_ms": at_ms, "baseline": habit, "latency_ms": 3.0, "failed": False,
                "unknown": 0, "state_age_ms": 1, "candidates": 50, "label_age_ms": WINDOW_MS, "video_id": f"v{place}",
                "score": chance_of_it, "position": place + 1, "randomised": False, "engaged": bool(engaged[place]),
                "watch_ms": 0, "liked": False, "shared": False, "skipped": False, "shown_ms": clock_ms,
                "rank": place + 1, "scored_position": 1, "feedback": [],
            }
            for place in range(VIDEOS)
        ]  # fmt: skip
