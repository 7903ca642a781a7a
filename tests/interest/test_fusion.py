"""The fusion predictor: causal, additive, monotone in position, whole without any modality."""

import pytest
import torch

from interest.models.fusion_predictor import FusionConfig, FusionPredictor, Items, Scores, examination

B, L, N = 2, 12, 5


@pytest.fixture
def model() -> FusionPredictor:
    torch.manual_seed(0)
    return FusionPredictor(FusionConfig()).eval()


def scores(model: FusionPredictor, *, length: int = 8, content: torch.Tensor | None = None, seed: int = 1) -> Scores:
    make = torch.Generator().manual_seed(seed)
    past = torch.randn(B, L, 3, 64, generator=make) if content is None else content
    kind = torch.randint(0, 4, (B, L), generator=make)
    outcome = torch.randn(B, L, 4, generator=make)
    token = items(model, past).token
    state = model.encode_viewer(token, kind, outcome, torch.full((B, 1), length))
    candidates = items(model, torch.randn(B, N, 3, 64, generator=make))
    return model.score(state, torch.randn(B, 1, 2, generator=make), candidates, torch.ones(B, N, dtype=torch.int64))


def items(model: FusionPredictor, content: torch.Tensor) -> Items:
    made = model.items(content.flatten(0, 1), torch.linspace(-1.0, 1.0, content.shape[0] * content.shape[1]))
    return Items(*(column.unflatten(0, content.shape[:2]) for column in made))


def test_contributions_add_up_to_the_logit(model: FusionPredictor) -> None:
    model.calibration.copy_(torch.tensor([0.8, -0.3]))
    made = scores(model)
    torch.testing.assert_close(made.contributions.sum(-1), made.logit)


def test_events_after_the_moment_do_not_matter(model: FusionPredictor) -> None:
    past = torch.randn(B, L, 3, 64)
    changed = past.clone()
    changed[:, 8:] = torch.randn(B, L - 8, 3, 64)
    same, other = scores(model, content=past), scores(model, content=changed)
    torch.testing.assert_close(same.logit, other.logit)
    assert not torch.equal(
        scores(model, content=past, length=12).logit, scores(model, content=changed, length=12).logit
    )


def test_attention_looks_at_the_visible_past_only(model: FusionPredictor) -> None:
    attention = scores(model, length=3).attention
    torch.testing.assert_close(attention.sum(-1), torch.ones(B, 3, N))
    assert (attention[..., 4:] == 0).all()


def test_a_later_position_is_never_more_likely(model: FusionPredictor) -> None:
    positions = torch.arange(1, 501)
    for look in (torch.tensor([-1.0, -1.0]), torch.tensor([2.0, -9.0]), torch.tensor([-30.0, 4.0])):
        chances = examination(positions, look)
        assert chances[0] == 0.0
        assert (chances.diff() <= 0).all()


def test_missing_modalities_become_the_learned_token(model: FusionPredictor) -> None:
    embeddings, present = torch.randn(4, 3, 13), torch.ones(4, 3, dtype=torch.bool)
    present[2] = False
    content = model.content(embeddings, present)
    torch.testing.assert_close(content[2], model.missing)
    assert not torch.equal(content[1], content[2])
    torch.testing.assert_close(content, model.content(torch.where(present[..., None], embeddings, 99.0), present))


def test_training_drops_modalities_at_the_stated_rate() -> None:
    torch.manual_seed(0)
    model = FusionPredictor(FusionConfig(modality_dropout=0.3)).train()
    model.missing.data.fill_(7.0)
    content = model.content(torch.randn(5000, 3, 13), torch.ones(5000, 3, dtype=torch.bool))
    assert (content == 7.0).all(-1).float().mean().item() == pytest.approx(0.3, abs=0.02)
