"""The best possible predictors of the simulated world: with the latents known, and without (honest).

Honest means: knows the world's constants and what each video is about, and learns a viewer's taste only
from what that viewer did before. Assumed-density filtering (Opper 1998; Minka 2001) on the taste z:
with a = bz t, z.a ~ N(mu, v); the moments of z.a after seeing the outcome are found by 21-point
Gauss-Hermite quadrature, and N(m, S) is moved to match them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from interest.simulator.world import Floats, VideoLatents, examination, sigmoid

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(21)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


class HonestFilter:
    """Beliefs N(mean, cov) about every viewer's taste: `mean` [N, K], `cov` [N, K, K]."""

    def __init__(self, viewers: int, latents: VideoLatents) -> None:
        self.params = latents.params
        k = self.params.topics
        self.mean = np.zeros((viewers, k))
        self.cov = np.broadcast_to(np.eye(k), (viewers, k, k)).copy()
        self._directions = self.params.bz * latents.t

    def begin_session(self, who: NDArray[np.bool_]) -> None:
        """Taste drifts between sessions: m <- rho m, S <- rho^2 S + (1 - rho^2) I."""
        rho = self.params.rho
        drifted = rho**2 * self.cov + (1.0 - rho**2) * np.eye(self.params.topics)
        self.mean = np.where(who[:, None], rho * self.mean, self.mean)
        self.cov = np.where(who[:, None, None], drifted, self.cov)

    def step(
        self,
        video: NDArray[np.int64],
        position: NDArray[np.int64],
        *,
        base: Floats,
        engaged: NDArray[np.bool_],
    ) -> Floats:
        """Chance of engaging [N] before the outcome is known; then learn from the outcome."""
        a = self._directions[video]
        look = examination(position, self.params)
        cov_a = np.einsum("nij,nj->ni", self.cov, a)
        mu = np.einsum("nk,nk->n", self.mean, a)
        v = np.maximum(np.einsum("nk,nk->n", cov_a, a), 1e-12)
        x = mu[:, None] + np.sqrt(v)[:, None] * _NODES
        yes = look[:, None] * sigmoid(base[:, None] + x)
        weight = np.where(engaged[:, None], yes, 1.0 - yes) * _WEIGHTS
        weight /= weight.sum(1, keepdims=True)
        mu_after = (weight * x).sum(1)
        v_after = (weight * (x - mu_after[:, None]) ** 2).sum(1)
        self.mean = self.mean + cov_a * ((mu_after - mu) / v)[:, None]
        self.cov = self.cov - np.einsum("ni,nj->nij", cov_a, cov_a) * ((v - v_after) / v**2)[:, None, None]
        return np.asarray(yes @ _WEIGHTS)


def impersonal(base: Floats, video: NDArray[np.int64], position: NDArray[np.int64], latents: VideoLatents) -> Floats:
    """The honest predictor that never learns a viewer's taste: z stays N(0, I); same shape as `video`."""
    p = latents.params
    spread = p.bz * np.linalg.norm(latents.t, axis=1)[video]
    chance = sigmoid(base[..., None] + spread[..., None] * _NODES) @ _WEIGHTS
    return np.asarray(examination(position, p) * chance)


def expected_auc(chance: Floats) -> float:
    """AUC that true chances earn on average: sum p_i (1 - p_j) 1[p_i > p_j] / sum p_i (1 - p_j), i != j."""
    p = np.sort(chance.ravel())
    misses_below = np.cumsum(1 - p) - (1 - p)
    pairs = p.sum() * (1 - p).sum() - (p * (1 - p)).sum()
    return float((p * misses_below).sum() / pairs)
