"""Whether a candidate fails more often than it may, counted as requests happen, and looked at always.

A Bernoulli likelihood ratio against the highest allowed share, mixed over all higher ones (uniformly): below that
share a supermartingale, so it exceeds 1 / alpha ever with probability alpha at most (Ville 1939; Robbins 1970).
"""

from __future__ import annotations

import numpy as np

LEAST_FAILED = 10
"""One restarted process is no verdict."""
_GRID = (np.arange(400) + 0.5) / 400


def too_many(requests: int, failed: int, allowed: float, alpha: float) -> bool:
    """Whether more than the share `allowed` fails, wrong with probability `alpha` at most over all looks."""
    if failed < LEAST_FAILED or not 0 <= allowed < 1:
        return False
    higher = allowed + (1.0 - allowed) * _GRID
    least = max(allowed, 1e-6)
    logs = failed * np.log(higher / least) + (requests - failed) * np.log((1.0 - higher) / (1.0 - least))
    return bool(np.logaddexp.reduce(logs) - np.log(len(_GRID)) > -np.log(alpha))
