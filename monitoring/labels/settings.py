"""What an operator may set of the joiner, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

from monitoring.labels.errors import InvalidLabelSettings

PREFIX = "RAPT_LABEL_"


@dataclass(frozen=True)
class LabelSettings:
    """`window_s`: how long after an exposure a viewer's act is its label; `slack_s`: how late records may come.

    What is new is written every `commit_s`; observations are deleted after `keep_days`.
    """

    window_s: float = 600.0
    slack_s: float = 10.0
    commit_s: float = 1.0
    keep_days: float = 90.0

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> LabelSettings:
        """RAPT_LABEL_WINDOW_S (600), _SLACK_S (10), _COMMIT_S (1), _KEEP_DAYS (90); raises InvalidLabelSettings."""
        env = os.environ if env is None else env
        values = {}
        for field in fields(cls):
            name = PREFIX + field.name.upper()
            if text := env.get(name):
                try:
                    values[field.name] = float(text)
                except ValueError as error:
                    raise InvalidLabelSettings(f"{name}={text!r} is not a number") from error
                least = 0.0 if field.name == "slack_s" else 0.05
                if not least <= values[field.name] <= 10**8:
                    raise InvalidLabelSettings(f"{name}={text!r} is out of range: at least {least:g}")
        return cls(**values)
