"""Explanations against the gradients and sums that they stand for."""

import numpy as np
import torch

from interest.bundle import Bundle, weights
from interest.datasets.samples import Split
from interest.datasets.windows import before
from interest.explain import ActivationMaps, explain
from interest.scoring import Scorer
from interest.training.bundle import load_modules
from tests.interest.worlds import signal_features, small_world


def test_terms_add_up_and_past_weights_are_a_share(bundle: Bundle) -> None:
    _, _, _, samples = small_world()
    rows = samples.rows(Split.TEST)[:4]
    histories, visible, now = before(samples, rows)
    scorer = Scorer(bundle)
    state = scorer.encode_all(video=histories.video, kind=histories.kind, outcome=histories.outcome, length=visible)
    made = scorer.score(state, now, samples.targets.video[rows][:, None], samples.targets.position[rows][:, None])
    for viewer in range(4):
        history = int(visible[viewer, 0])
        why = explain(made, 0, history=history, viewer=viewer)
        assert np.isclose(sum(why.terms.values()), why.logit, atol=1e-4)
        assert len(why.past) == history
        assert np.isclose(sum(event.weight for event in why.past) + why.start_weight, 1.0, atol=1e-4)
        assert all(a.weight >= b.weight for a, b in zip(why.past, why.past[1:], strict=False))


def test_closed_form_maps_equal_grad_cam_by_backward_pass(bundle: Bundle) -> None:
    latents, _, _, _ = small_world()
    frames = signal_features(latents).frames[5]
    direction = np.random.default_rng(0).standard_normal(13).astype(np.float32)
    encoders, _ = load_modules(
        {name: torch.from_numpy(value) for name, value in weights(bundle).items()}, dict(bundle.manifest)
    )
    maps = encoders.video.maps(torch.from_numpy(frames)[None]).detach().requires_grad_(True)
    target = encoders.video.head(maps.mean(dim=(3, 4, 5))) @ torch.from_numpy(direction)
    target.sum().backward()
    assert maps.grad is not None
    by_gradient = (maps.grad.mean(dim=(3, 4, 5), keepdim=True) * maps).sum(2).detach().numpy()[0]
    cams = ActivationMaps(bundle)
    closed = np.einsum("k,wkthv->wthv", cams.direction(direction, tuple(maps.shape[3:])), cams.maps(frames))
    np.testing.assert_allclose(closed, by_gradient, atol=1e-5)
    assert np.corrcoef(closed.ravel(), by_gradient.ravel())[0, 1] > 0.9999


def test_heat_has_the_frames_shape_and_a_full_scale(bundle: Bundle) -> None:
    latents, _, _, _ = small_world()
    frames = signal_features(latents).frames[5]
    heat = ActivationMaps(bundle).heat(frames, np.random.default_rng(1).standard_normal(13).astype(np.float32))
    assert heat.shape == frames.shape[:-1]
    assert 0.0 <= heat.min() <= heat.max() <= 1.0
