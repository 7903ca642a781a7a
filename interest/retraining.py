"""When a model is to be trained again: it has decayed, what it sees has drifted, or it is old."""

from __future__ import annotations

import msgspec

from interest.decay import BIAS_MARGIN, LEAST_VIEWERS, LOSS_MARGIN, Decay
from interest.errors import InvalidSetting

LEAST, COOL_DOWN_S, OLDEST_S = 20_000, 3600.0, 604_800.0


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a retraining due, in seconds and impressions.

    `least`: impressions to learn from, those after the change when there was one; fewer are waited for. `cool_down_s`:
    time after a retraining, or after a model began to serve, in which decay and drift start none. `oldest_s`: a model
    that has served so long is trained again in any case; 0: never. Raises InvalidSetting for what is below 0.
    """

    least: int = LEAST
    cool_down_s: float = COOL_DOWN_S
    oldest_s: float = OLDEST_S
    bias_margin: float = BIAS_MARGIN
    loss_margin: float = LOSS_MARGIN

    def __post_init__(self) -> None:
        for name, value in msgspec.structs.asdict(self).items():
            if not value >= 0:
                raise InvalidSetting(f"{name}={value} is below 0")


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when one looks. `drift`: in words what has moved, empty when nothing has. `usable`: impressions
    to learn from. Ages are None where nothing is known of it.
    """

    decay: Decay
    drift: tuple[str, ...] = ()
    usable: int = 0
    served_s: float | None = None
    since_last_s: float | None = None


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """Whether to train now, and in words why, or why not."""

    now: bool
    why: str


def due(policy: Policy, facts: Facts) -> Due:
    """A pure function of what is known."""
    calm = [age for age in (facts.since_last_s, facts.served_s) if age is not None]
    wants = ""
    if facts.decay.decayed:
        wants = "decay: " + "; ".join(facts.decay.reasons)
    elif facts.drift:
        wants = "drift: " + "; ".join(facts.drift)
    if wants and (left := policy.cool_down_s - min(calm, default=policy.cool_down_s)) > 0:
        return Due(now=False, why=f"{wants}; cooling down for {left:.0f} s more")
    if not wants and policy.oldest_s and min(calm, default=0.0) >= policy.oldest_s:
        wants = f"schedule: the model has served for {policy.oldest_s:.0f} s"
    if not wants and facts.decay.viewers < LEAST_VIEWERS:
        return Due(now=False, why=f"{facts.decay.viewers} viewers of {LEAST_VIEWERS} who tell how the model does")
    if not wants:
        return Due(now=False, why="the model does what it promises")
    if facts.usable < policy.least:
        return Due(now=False, why=f"{wants}; waiting for impressions to learn from: {facts.usable} of {policy.least}")
    return Due(now=True, why=wants)
