"""Whether the arms have as many viewers as they should: a test that may be looked at always.

Viewers come with known chances pi of the candidate's arm. Against it stand worlds in which the arm's odds are off by a
factor e^d, d drawn from a normal mixture; the likelihood ratio is a martingale when nothing is wrong, so that it
exceeds 1 / alpha ever with probability alpha at most (Ville 1939). After Lindon, Malek ("Anytime-valid inference for
multinomial count data", NeurIPS 2022), who mix over a Dirichlet; odds allow the chances to change as shares grow.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

ALPHA = 0.01
"""Chance to call a sound experiment broken, ever."""
SPREADS = (0.01, 0.1, 0.5)
"""Standard deviations of d that are mixed, alike: from one viewer in a hundred lost to a broken hash."""
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(31)
_SHIFTS = np.concatenate([spread * _NODES for spread in SPREADS])
_LOG_WEIGHTS = np.tile(np.log(_WEIGHTS / _WEIGHTS.sum()), len(SPREADS)) - np.log(len(SPREADS))


class SampleRatio(msgspec.Struct, frozen=True, rename="camel"):
    """`p_value` is always valid; `expected` and `observed` are shares of the candidate's arm among viewers."""

    p_value: float = 1.0
    expected: float = 0.0
    observed: float = 0.0

    @property
    def broken(self) -> bool:
        """Whether nothing may be concluded from these arms."""
        return self.p_value < ALPHA


def check(counts: Mapping[float, tuple[int, int]]) -> SampleRatio:
    """`counts`: by the chance of the candidate's arm, first exposures in (stable, candidate)."""
    logs = _LOG_WEIGHTS.copy()
    viewers = candidates = expected = 0.0
    for chance, (stable, candidate) in counts.items():
        odds = np.exp(_SHIFTS)
        shifted = chance * odds / (chance * odds + 1.0 - chance)
        logs += candidate * np.log(shifted / chance) + stable * np.log((1.0 - shifted) / (1.0 - chance))
        viewers += stable + candidate
        candidates += candidate
        expected += chance * (stable + candidate)
    if not viewers:
        return SampleRatio()
    evidence = float(np.logaddexp.reduce(logs))
    return SampleRatio(float(np.exp(min(0.0, -evidence))), expected / viewers, candidates / viewers)
