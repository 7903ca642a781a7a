"""A past A/B test, looked at window by window as its reconciler would have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from interest.errors import InvalidExperiment
from interest.experiments.analysis import Analysis
from interest.experiments.decision import Phase, Status, Surroundings, decide
from interest.experiments.foreign import NAME, Observations
from interest.experiments.spec import MIN_WINDOW_S, MOST_S, Primary, Spec, seconds
from monitoring.pictures.experiment import Moment, experiment_curve

HOUR_MS = 3_600_000
STABLE, CANDIDATE = "a" * 64, "b" * 64
"""Stand in for the digests that a foreign test does not have."""


@dataclass(frozen=True)
class Past:
    """What came of it: each look, the last status, and the first look at which it was decided (None: never)."""

    observations: Observations
    looks: tuple[tuple[Moment, Status], ...]
    decided: tuple[Moment, Status] | None
    margin: float

    @property
    def last(self) -> Status:
        """The status with all data."""
        return self.looks[-1][1]

    @property
    def verdict(self) -> str:
        """In words."""
        if self.decided is None:
            ratio = "" if self.observations.assumed or not self.last.sample_ratio.broken else f": {self.last.reason}"
            return f"not decided{ratio}"
        moment, status = self.decided
        what = "promoted" if status.phase is Phase.PROMOTED else "rolled back"
        return f"{what} {moment.hours:.1f} h after it began: {status.reason}"

    def rows(self) -> list[tuple[str, object]]:
        """For people."""
        from rapt.commands.experiments import bounds

        ratio, status = self.last.sample_ratio, self.last
        tested = "not tested: give --share" if self.observations.assumed else f"p {ratio.p_value:.3g}"
        drawn = f"{ratio.observed:.2%} in the candidate's arm, {ratio.expected:.2%} drawn, {tested}"
        return [
            ("verdict", self.verdict),
            ("lift", bounds(status.lift, percent=True)),
            ("difference", bounds(status.effect)),
            ("viewers", ", ".join(f"{count:,} {arm}" for arm, count in status.viewers.items())),
            ("sample ratio", drawn),
            ("labelled", ", ".join(f"{share:.1%} {arm}" for arm, share in status.coverage.items())),
            ("looks", len(self.looks)),
        ]

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "verdict": self.verdict,
            "status": msgspec.to_builtins(self.last),
            "share": self.observations.share,
            "share_assumed": self.observations.assumed,
            "looks": [msgspec.to_builtins(moment) for moment, _ in self.looks],
        }

    def draw(self, path: Path, title: str) -> Path:
        """The lift over time; see `monitoring.pictures.experiment`."""
        return experiment_curve(path, title, [moment for moment, _ in self.looks], self.margin)


def analysed(found: Observations, *, window: str, margin: float, alpha: float) -> Past:
    """Every window in order, as a reconciler would have looked; the share stays, nothing but the lift decides.

    Raises InvalidExperiment for a window that is too short or too long.
    """
    if not MIN_WINDOW_S <= seconds(window) <= MOST_S:
        raise InvalidExperiment(f"a window of {window} is not within {MIN_WINDOW_S:g}s and {MOST_S / 86400:g}d")
    spec = Spec(candidate=CANDIDATE, stable=STABLE, share=(found.share,), window=window, alpha=alpha,
                primary=Primary(margin=margin), guardrails=(), deadline="100000d")  # fmt: skip
    analysis, around = Analysis(NAME, spec, found.begin_ms), Surroundings(served=STABLE)
    begun = decide(spec, Status(), analysis.statistics(), around, found.begin_ms)
    analysis.feed(found.table)
    looks: list[tuple[Moment, Status]] = []
    decided: tuple[Moment, Status] | None = None
    complete = found.begin_ms
    while complete <= found.end_ms or not looks:
        complete += analysis.window_ms
        analysis.close(complete)
        statistics = analysis.statistics()
        status = decide(spec, begun, statistics, around, complete)
        lift = status.lift
        hours = (complete - found.begin_ms) / HOUR_MS
        looks.append((Moment(hours, statistics.viewers, lift.value, lift.lower, lift.upper), status))
        if decided is None and status.phase.ended and not (found.assumed and status.sample_ratio.broken):
            decided = looks[-1]
    return Past(found, tuple(looks), decided, margin)
