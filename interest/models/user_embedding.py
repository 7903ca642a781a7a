"""Viewers as vectors from a whole log: the viewers' side of a factorisation whose videos' side is content."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class UserEmbedding(nn.Module):
    """A taste vector [U, D] and a bias [U] for each viewer; a Gaussian prior keeps the little-known near zero."""

    def __init__(self, users: int, dim: int) -> None:
        super().__init__()
        self.taste = nn.Parameter(0.3 * torch.randn(users, dim))
        self.bias = nn.Parameter(torch.zeros(users))

    def forward(self, viewer: Tensor) -> tuple[Tensor, Tensor]:
        """Viewer rows [N] to (taste [N, D], bias [N])."""
        return self.taste[viewer], self.bias[viewer]

    def penalty(self, viewer: Tensor, events: Tensor) -> Tensor:
        """Negative log prior, shared out over each viewer's `events` [U], for a batch of events of `viewer` [N]."""
        squared = self.taste[viewer].square().sum(-1) + self.bias[viewer].square()
        return 0.5 * (squared / events[viewer].clamp(min=1.0)).mean()
