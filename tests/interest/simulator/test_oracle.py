"""The honest filter against a particle filter, and the ceilings against what they must be."""

import numpy as np
import pytest

from interest.evaluation import auc
from interest.simulator.oracle import HonestFilter, expected_auc, impersonal
from interest.simulator.viewers import Impressions, simulate
from interest.simulator.world import VideoLatents, examination, sample_videos, sigmoid

PARTICLES = 20_000


def particle_filter(log: Impressions, latents: VideoLatents, viewer: int) -> np.ndarray:
    """Chances before each impression by importance weighting with resampling: no Gaussian is assumed."""
    p, rng = latents.params, np.random.default_rng(viewer)
    tastes, weights = rng.standard_normal((PARTICLES, p.topics)), np.full(PARTICLES, 1.0 / PARTICLES)
    chances = []
    for step in range(log.video.shape[1]):
        if log.new_session[viewer, step]:
            tastes = p.rho * tastes + np.sqrt(1 - p.rho**2) * rng.standard_normal(tastes.shape)
        h = log.base[viewer, step] + p.bz * tastes @ latents.t[log.video[viewer, step]]
        yes = examination(log.position[viewer, step], p) * sigmoid(h)
        chances.append(weights @ yes)
        weights = weights * (yes if log.engaged[viewer, step] else 1 - yes)
        weights /= weights.sum()
        if 1.0 / (weights**2).sum() < PARTICLES / 2:
            places = np.searchsorted(np.cumsum(weights), (np.arange(PARTICLES) + rng.random()) / PARTICLES)
            tastes, weights = tastes[np.minimum(places, PARTICLES - 1)], np.full(PARTICLES, 1.0 / PARTICLES)
    return np.array(chances)


def test_the_honest_filter_agrees_with_a_particle_filter() -> None:
    latents = sample_videos(300, seed=5)
    log = simulate(latents, viewers=12, events_per_viewer=60, seed=5)
    particles = np.stack([particle_filter(log, latents, viewer) for viewer in range(12)])
    distance = np.abs(particles - log.p_honest)
    assert distance.mean() < 0.01
    assert np.corrcoef(particles.ravel(), log.p_honest.ravel())[0, 1] > 0.995


def test_replaying_the_log_gives_the_same_honest_chances() -> None:
    latents = sample_videos(300, seed=5)
    log = simulate(latents, viewers=30, events_per_viewer=40, seed=6)
    belief = HonestFilter(30, latents)
    for step in range(40):
        belief.begin_session(log.new_session[:, step])
        chance = belief.step(
            log.video[:, step], log.position[:, step], base=log.base[:, step], engaged=log.engaged[:, step]
        )
        np.testing.assert_allclose(chance, log.p_honest[:, step], rtol=1e-12)


def test_the_ceilings_are_ordered_and_calibrated() -> None:
    latents = sample_videos(1000, seed=7)
    log = simulate(latents, viewers=2000, events_per_viewer=120, seed=7)
    blind = impersonal(log.base, log.video, log.position, latents)
    known, honest, nothing = (auc(p.ravel(), log.engaged.ravel()) for p in (log.p_latent, log.p_honest, blind))
    assert known > honest + 0.03 > nothing + 0.06
    assert log.p_honest.mean() == pytest.approx(log.engaged.mean(), abs=0.003)
    assert expected_auc(log.p_latent) == pytest.approx(known, abs=0.003)


def test_expected_auc_by_hand() -> None:
    # Two impressions with chances .8 and .4: the only ordered pair counts .8 * .6 of .8 * .6 + .4 * .2.
    assert expected_auc(np.array([0.8, 0.4])) == pytest.approx(0.48 / (0.48 + 0.08))
