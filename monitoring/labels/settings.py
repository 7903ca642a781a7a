"""What an operator may set of the joiner, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from monitoring.labels.errors import InvalidLabelSettings


@dataclass(frozen=True)
class LabelSettings:
    """How long outcomes are waited for, and how often what is known is written.

    What a viewer does within `window_ms` after an exposure is its label; records may come `slack_ms` late. The head
    is refreshed every `commit_s` while tallies move; closed requests become a segment every `rows_s`. Observations
    older than `keep_days` are deleted.
    """

    window_ms: int = 600_000
    slack_ms: int = 10_000
    commit_s: float = 2.0
    rows_s: float = 10.0
    keep_days: float = 90.0

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> LabelSettings:
        """RAPT_LABEL_WINDOW_S (600), _SLACK_S (10), _COMMIT_S (2), _ROWS_S (10) and _KEEP_DAYS (90).

        Raises InvalidLabelSettings naming the variable, its value and what is allowed.
        """
        env = os.environ if env is None else env
        return cls(
            window_ms=round(1000 * _number(env, "RAPT_LABEL_WINDOW_S", 600.0, least=0.001, most=7 * 86400)),
            slack_ms=round(1000 * _number(env, "RAPT_LABEL_SLACK_S", 10.0, least=0, most=3600)),
            commit_s=_number(env, "RAPT_LABEL_COMMIT_S", 2.0, least=0.01, most=3600),
            rows_s=_number(env, "RAPT_LABEL_ROWS_S", 10.0, least=0.01, most=3600),
            keep_days=_number(env, "RAPT_LABEL_KEEP_DAYS", 90.0, least=0.01, most=36500),
        )


def _number(env: Mapping[str, str], name: str, default: float, *, least: float, most: float) -> float:
    text = env.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError as error:
        raise InvalidLabelSettings(f"{name}={text!r} is not a number") from error
    if not least <= value <= most:
        raise InvalidLabelSettings(f"{name}={text!r} is out of range: from {least:g} to {most:g}")
    return value
