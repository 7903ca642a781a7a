"""Which arm a viewer sees: a hash of salt, experiment and viewer, so that it is the same everywhere and always."""

from __future__ import annotations

from enum import StrEnum

import xxhash


class Arm(StrEnum):
    """The model that serves everybody, and the one on trial."""

    STABLE = "stable"
    CANDIDATE = "candidate"


def bucket(salt: str, experiment: str, user_id: str) -> float:
    """The viewer's place in [0, 1), uniform over viewers and independent between experiments."""
    # NUL keeps ("a", "bc") and ("ab", "c") apart; it cannot occur in the names.
    return xxhash.xxh3_64_intdigest(f"{salt}\0{experiment}\0{user_id}".encode()) / 2**64


def assign(salt: str, experiment: str, user_id: str, share: float) -> Arm:
    """The viewer's arm when a `share` of the viewers sees the candidate; a growing share moves nobody back."""
    return Arm.CANDIDATE if bucket(salt, experiment, user_id) < share else Arm.STABLE
