"""Late fusion: what each modality of a video adds, for this viewer, to the logit of engaging.

logit = viewer + length + sum over modalities of contribution; the sum is exact, so that a prediction
is explained by its own terms. A contribution compares the viewer's taste with the modality's content,
looks the content up in the viewer's past (target attention, Zhou et al. 2018), and adds its general
appeal. P(engaged) = e(position) * sigmoid(logit), the examination model of position-bias aware
learning (Guo et al. 2019).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interest.models.names import MODALITIES
from interest.models.user_sequence_encoder import UserSequenceEncoder


@dataclass(frozen=True)
class FusionConfig:
    """Sizes of the fusion predictor; `embedding`: 12 traits and the appeal that content encoders predict."""

    embedding: int = 13
    content: int = 64
    state: int = 64
    key: int = 32
    layers: int = 2
    heads: int = 4
    dropout: float = 0.1
    modality_dropout: float = 0.1

    def to_dict(self) -> dict[str, int | float]:
        return asdict(self)


class Items(NamedTuple):
    """What scoring needs of V videos, computed once each: what they are as candidates and as past events."""

    content: Tensor  # [V, M, C]
    token: Tensor  # [V, D]: as an event of a history
    query: Tensor  # [V, M, K]: what to look up in a viewer's past
    appeal: Tensor  # [V, 1 + M]: the length's term, then each modality's general appeal

    def take(self, rows: Tensor) -> Items:
        """The same of some videos, [*rows.shape, ...] each."""
        return Items(*(column[rows] for column in self))


class ViewerState(NamedTuple):
    """A viewer's past as seen from Q moments of it; `visible` tells which past states a moment may see."""

    last: Tensor  # [B, Q, D]: the state after all that the moment may know
    keys: Tensor  # [B, M, L + 1, K]
    values: Tensor  # [B, M, L + 1, C]
    visible: Tensor  # bool [B, Q, L + 1]


class Scores(NamedTuple):
    """`logit` [B, N], `log_look` [B, N], `contributions` [B, N, 5] as in TERMS, `attention` [B, M, N, L + 1]."""

    logit: Tensor
    log_look: Tensor
    contributions: Tensor
    attention: Tensor

    @property
    def probability(self) -> Tensor:
        return (self.log_look + F.logsigmoid(self.logit)).exp()


class FusionPredictor(nn.Module):
    """Scores candidates for a viewer from content embeddings that were computed once a video."""

    embedding_mean: Tensor
    embedding_spread: Tensor
    calibration: Tensor

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        c, modalities = config, len(MODALITIES)
        self.config = config
        self.adapters = nn.ModuleList(_adapter(c) for _ in MODALITIES)
        self.missing = nn.Parameter(torch.zeros(modalities, c.content))
        self.fuse_gate = nn.Parameter(torch.zeros(modalities, c.content))
        self.fuse = nn.Linear(c.content, c.state)
        self.sequence = UserSequenceEncoder(c.state, c.layers, c.heads, c.dropout)
        self.now = nn.Sequential(nn.Linear(2, c.state), nn.GELU(), nn.Linear(c.state, c.state))
        self.merge = nn.Sequential(nn.Linear(2 * c.state, c.state), nn.GELU(), nn.Linear(c.state, c.state))
        self.taste = nn.Linear(c.state, modalities * c.content)
        self.gate = nn.Linear(c.state, modalities)
        self.viewer = nn.Linear(c.state, 1)
        self.keys = nn.Linear(c.state, modalities * c.key)
        self.values = nn.Linear(c.state, modalities * c.content)
        self.queries = nn.ModuleList(nn.Linear(c.content, c.key) for _ in MODALITIES)
        self.appeal = nn.ModuleList(_scalar(c.content) for _ in MODALITIES)
        self.length = _scalar(1)
        self.look = nn.Parameter(torch.tensor([-1.0, -1.0]))
        self.register_buffer("embedding_mean", torch.zeros(modalities, c.embedding))
        self.register_buffer("embedding_spread", torch.ones(modalities, c.embedding))
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))

    def content(self, embeddings: Tensor, present: Tensor) -> Tensor:
        """Encoder outputs [V, M, E] and their presence bool [V, M] to content [V, M, C].

        A missing modality becomes its learned token; in training some are dropped at random, so that
        the token learns to stand in.
        """
        if self.training:
            present = present & (torch.rand(present.shape) >= self.config.modality_dropout)
        scaled = (embeddings - self.embedding_mean) / self.embedding_spread
        adapted = torch.stack([adapt(scaled[:, m]) for m, adapt in enumerate(self.adapters)], dim=1)
        return torch.where(present[..., None], adapted, self.missing)

    def items(self, content: Tensor, log_length: Tensor) -> Items:
        """Content [V, M, C] and lengths [V] to what scoring needs of each video."""
        fused = (content * torch.sigmoid(2.0 + self.fuse_gate)).sum(1)
        query = torch.stack([query(content[:, m]) for m, query in enumerate(self.queries)], dim=1)
        appeal = [self.length(log_length[:, None]), *(rate(content[:, m]) for m, rate in enumerate(self.appeal))]
        return Items(content, self.fuse(fused), query, torch.cat(appeal, dim=1))

    def encode_viewer(self, token: Tensor, kind: Tensor, outcome: Tensor, length: Tensor) -> ViewerState:
        """History to state: `token` [B, L, D], `kind` [B, L], `outcome` [B, L, 4].

        `length` int64 [B, Q] says how many of the events each of the Q moments may know.
        """
        c, modalities = self.config, len(MODALITIES)
        states = self.sequence(token, kind, outcome)
        n, d = states.shape[1:]
        steps = torch.arange(n, device=length.device)
        return ViewerState(
            last=states.gather(1, length[..., None].expand(-1, -1, d)),
            keys=self.keys(states).unflatten(-1, (modalities, c.key)).transpose(1, 2) / c.key**0.5,
            values=self.values(states).unflatten(-1, (modalities, c.content)).transpose(1, 2) / c.content**0.5,
            visible=steps <= length[..., None],
        )

    def score(self, state: ViewerState, now: Tensor, items: Items, position: Tensor) -> Scores:
        """Candidates `items` [B, N, ...] at `position` [B, N] (from 1), asked for at `now` [B, Q, 2], to scores.

        With Q = 1 all candidates share the moment; with Q = N candidate i is scored at moment i.
        """
        moment, taste = self.moment(state.last, now)
        fit = items.query.transpose(1, 2) @ state.keys.transpose(2, 3)
        hidden = torch.where(state.visible, 0.0, float("-inf"))
        attention = (fit + hidden[:, None]).softmax(-1)
        recalled = (attention @ state.values).transpose(1, 2)
        match = ((taste + recalled) * items.content).sum(-1)
        return self.judge(moment, match, items.appeal, position, attention)

    def moment(self, last: Tensor, now: Tensor) -> tuple[Tensor, Tensor]:
        """The viewer at moments `now` [B, Q, 2] after `last` [B, Q, D]: [B, Q, D], and their taste [B, Q, M, C]."""
        c = self.config
        moment = last + self.merge(torch.cat([last, self.now(now)], dim=-1))
        taste = self.taste(moment).unflatten(-1, (len(MODALITIES), c.content)) / c.content**0.5
        return moment, taste

    def judge(self, moment: Tensor, match: Tensor, appeal: Tensor, position: Tensor, attention: Tensor) -> Scores:
        """How well candidates `match` [B, N, M] the viewer, and what they are to everybody, to scores."""
        gate = 2.0 * torch.sigmoid(self.gate(moment))
        by_modality = gate * (match + appeal[..., 1:])
        viewer = self.viewer(moment).expand(*position.shape, 1)
        raw = torch.cat([viewer, appeal[..., :1], by_modality], dim=-1)
        scale, shift = self.calibration[0], self.calibration[1]
        contributions = torch.cat([raw[..., :1] * scale + shift, raw[..., 1:] * scale], dim=-1)
        return Scores(contributions.sum(-1), examination(position, self.look), contributions, attention)


def examination(position: Tensor, look: Tensor) -> Tensor:
    """log e(position) under parameters `look` [2]: 0 at position 1, falling ever after, whatever is learned."""
    p = position.to(look.dtype).clamp(min=1.0)
    return -(F.softplus(look[0]) * p.log() + F.softplus(look[1]) * (1.0 - 1.0 / p))


def _adapter(c: FusionConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(c.embedding, 2 * c.content),
        nn.GELU(),
        nn.Dropout(c.dropout),
        nn.Linear(2 * c.content, c.content),
    )


def _scalar(inputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 32), nn.GELU(), nn.Linear(32, 1))
