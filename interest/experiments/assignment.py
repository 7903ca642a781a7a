"""Which arm a viewer sees: a hash of salt, experiment and viewer, so that it is the same everywhere and always."""

from __future__ import annotations

from enum import StrEnum

import msgspec
import xxhash


class Arm(StrEnum):
    """The model that serves everybody, and the one on trial."""

    STABLE = "stable"
    CANDIDATE = "candidate"


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One running experiment as servers need it.

    `traffic`: from, to, the part of all viewers that takes part; `share` of these see the candidate, the model
    `candidate`, which the predictor at `address` (HOST or HOST:PORT) serves.
    """

    experiment: str
    salt: str
    traffic: tuple[float, float]
    share: float
    candidate: str
    address: str


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """All running experiments at one time (topic `arms`): one record, so that it takes effect whole or not at all.

    Of two, the one with the higher `version` counts. No viewer takes part in two trials: their traffic is disjoint.
    """

    version: int = 0
    trials: tuple[Trial, ...] = ()

    def trial(self, user_id: str) -> Trial | None:
        """The trial that a viewer takes part in."""
        if not self.trials:
            return None
        place = bucket("", "", user_id)
        return next((one for one in self.trials if one.traffic[0] <= place < one.traffic[1]), None)


def bucket(salt: str, experiment: str, user_id: str) -> float:
    """The viewer's place in [0, 1), uniform over viewers and independent between experiments."""
    # NUL keeps ("a", "bc") and ("ab", "c") apart; it cannot occur in the names.
    return xxhash.xxh3_64_intdigest(f"{salt}\0{experiment}\0{user_id}".encode()) / 2**64


def assign(salt: str, experiment: str, user_id: str, share: float) -> Arm:
    """The viewer's arm when a `share` of the viewers sees the candidate; a growing share moves nobody back."""
    return Arm.CANDIDATE if bucket(salt, experiment, user_id) < share else Arm.STABLE
