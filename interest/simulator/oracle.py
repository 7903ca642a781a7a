"""The best possible predictors of the simulated world: with the latents known, and without (honest).

Honest means: knows the world's constants and what each video is about, and learns a viewer's taste only
from what that viewer did before. Assumed-density filtering (Opper 1998; Minka 2001) on the taste z:
with a = bz t, z.a ~ N(mu, v); the moments of z.a after seeing the outcome are found by 21-point
Gauss-Hermite quadrature, and N(m, S) is moved to match them.
"""

from __future__ import annotations

import numpy as np

from interest.simulator.viewers import Bools, Impressions, examination, sigmoid
from interest.simulator.world import Floats, VideoLatents

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(21)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def honest(log: Impressions, latents: VideoLatents) -> Floats:
    """Probability of engaging before each impression by the honest filter, [viewers, steps]."""
    p = latents.params
    viewers, steps = log.video.shape
    mean = np.zeros((viewers, p.topics))
    cov = np.broadcast_to(np.eye(p.topics), (viewers, p.topics, p.topics)).copy()
    directions = p.bz * latents.t
    result = np.empty((viewers, steps))
    for step in range(steps):
        fresh = log.new_session[:, step]
        mean = np.where(fresh[:, None], p.rho * mean, mean)
        cov = np.where(fresh[:, None, None], p.rho**2 * cov + (1 - p.rho**2) * np.eye(p.topics), cov)
        look = examination(log.position[:, step], p)
        a = directions[log.video[:, step]]
        result[:, step], mean, cov = _update(mean, cov, a, log.base[:, step], look, log.engaged[:, step])
    return result


def impersonal(log: Impressions, latents: VideoLatents) -> Floats:
    """The honest predictor that never learns a viewer's taste: z stays N(0, I), [viewers, steps]."""
    p = latents.params
    spread = p.bz * np.linalg.norm(latents.t, axis=1)[log.video]
    chance = sigmoid(log.base[..., None] + spread[..., None] * _NODES) @ _WEIGHTS
    return np.asarray(examination(log.position, p) * chance)


def expected_auc(chance: Floats) -> float:
    """AUC that ranking by the true chances earns on average: sum p_i (1 - p_j) 1[p_i > p_j] / sum p_i (1 - p_j)."""
    p = np.sort(chance.ravel())
    misses_below = np.cumsum(1 - p) - (1 - p)
    pairs = p.sum() * (1 - p).sum() - (p * (1 - p)).sum()
    return float((p * misses_below).sum() / pairs)


def _update(
    mean: Floats, cov: Floats, a: Floats, base: Floats, look: Floats, engaged: Bools
) -> tuple[Floats, Floats, Floats]:
    """Predict, then condition on the outcome; returns (chance [N], mean [N, K], cov [N, K, K])."""
    cov_a = np.einsum("nij,nj->ni", cov, a)
    mu = np.einsum("nk,nk->n", mean, a)
    v = np.maximum(np.einsum("nk,nk->n", cov_a, a), 1e-12)
    x = mu[:, None] + np.sqrt(v)[:, None] * _NODES
    yes = look[:, None] * sigmoid(base[:, None] + x)
    chance = yes @ _WEIGHTS
    weight = np.where(engaged[:, None], yes, 1 - yes) * _WEIGHTS
    weight /= weight.sum(1, keepdims=True)
    mu_after = (weight * x).sum(1)
    v_after = (weight * (x - mu_after[:, None]) ** 2).sum(1)
    mean = mean + cov_a * ((mu_after - mu) / v)[:, None]
    cov = cov - np.einsum("ni,nj->nij", cov_a, cov_a) * ((v - v_after) / v**2)[:, None, None]
    return chance, mean, cov
