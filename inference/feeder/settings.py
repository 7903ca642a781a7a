"""What an operator may set of the feeder, from the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from inference.state.errors import InvalidStateSettings

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class FeederSettings:
    """Where the states lie and how much of them there is.

    `folder` should be memory-backed (tmpfs); `memory_mib` is never exceeded in it. The feeder is ready while at
    most `ready_lag` records are still to be applied. `valkey` (host:port) keeps the states in a Valkey instead.
    """

    folder: Path
    memory_mib: int = 512
    checkpoint_s: float = 30.0
    ready_lag: int = 1000
    valkey: str = ""

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> FeederSettings:
        """RAPT_STATE_FOLDER, and optionally _MEMORY_MIB (512), _CHECKPOINT_S (30), _READY_LAG (1000), _VALKEY.

        Raises InvalidStateSettings naming the variable, its value and what is allowed.
        """
        env = os.environ if env is None else env
        folder = env.get("RAPT_STATE_FOLDER", "")
        if not folder:
            raise InvalidStateSettings("RAPT_STATE_FOLDER is not set: name the memory-backed folder of viewers' states")
        return cls(
            Path(folder),
            _number(env, "RAPT_STATE_MEMORY_MIB", int, cls.memory_mib, least=8),
            _number(env, "RAPT_STATE_CHECKPOINT_S", float, cls.checkpoint_s, least=0.1),
            _number(env, "RAPT_STATE_READY_LAG", int, cls.ready_lag, least=0),
            env.get("RAPT_STATE_VALKEY", ""),
        )


def _number(
    env: Mapping[str, str], name: str, kind: Callable[[str], Number], default: Number, *, least: float
) -> Number:
    text = env.get(name)
    if not text:
        return default
    try:
        value = kind(text)
    except ValueError as error:
        raise InvalidStateSettings(f"{name}={text!r} is not a number") from error
    if not least <= value <= 2**40:
        raise InvalidStateSettings(f"{name}={text!r} is out of range: at least {least:g}")
    return value
